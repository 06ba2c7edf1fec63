//! Structs, unions and newtypes.

use std::sync::Arc;

use maplock_layout::{Composite, Layout};
use proc_macro2::{Group, Span, TokenStream, TokenTree};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;

use crate::describe;
use crate::fields::{self, Against, bytes_of, in_place, name_of};
use crate::input::{Input, Problems};
use crate::lockfile;
use crate::memory;
use crate::types::{Bound, Types};

/// What an item is held against.
pub(crate) enum Binding {
    /// This type.
    Type(Bound, Arc<Types>),
    /// Nothing: this tells why.
    Problem(String),
    /// Nothing: told elsewhere.
    Told,
}

/// Finds the type of the lock; a lock that is missing or broken is told once.
pub(crate) fn bind(input: &Input) -> Binding {
    let read = lockfile::path(input).and_then(|path| {
        lockfile::read(&path).map_err(|problem| {
            let who = format!("{} {:?}", memory::place(input.derive.ident.span()), input.role);
            if memory::is_first(&path.display().to_string(), &who) { problem } else { String::new() }
        })
    });
    match read {
        Err(problem) if problem.is_empty() => Binding::Told,
        Err(problem) => Binding::Problem(problem),
        Ok(types) => match types.find(input) {
            Ok(bound) => Binding::Type(bound, types),
            Err(problem) => Binding::Problem(problem),
        },
    }
}

/// Makes the compiler read the lock, so that a change of it builds the crate anew. Once in a crate is enough.
pub(crate) fn watch(input: &Input) -> TokenStream {
    let who = format!("{} {:?}", memory::place(input.derive.ident.span()), input.role);
    match lockfile::path(input) {
        Ok(path) if memory::is_first(&format!("watch {}", path.display()), &who) => {
            let path = path.display().to_string();
            quote!(
                const _: &[u8] = ::core::include_bytes!(#path);
            )
        }
        _ => TokenStream::new(),
    }
}

/// The expansion for a struct or union.
pub(crate) fn expand(input: &Input) -> TokenStream {
    let mut problems = Problems::default();
    input.check(&mut problems);
    let is_plain = problems.is_empty();
    let is_pass_through = input.wrapped().is_some() && input.attribute.btf.is_none() && input.attribute.map.is_none();
    let (mut checks, mut shape, mut watch_lock) = (TokenStream::new(), unknown(input), TokenStream::new());
    if is_pass_through {
        if let Some(field) = input.wrapped() {
            shape = shape_of(input, &field.ty);
        }
    } else if is_plain {
        match bind(input) {
            Binding::Told => {}
            Binding::Problem(problem) => {
                let span = input.attribute.btf.as_ref().map_or_else(|| input.derive.ident.span(), syn::LitStr::span);
                problems.add(span, problem);
            }
            Binding::Type(bound, types) => {
                watch_lock = watch(input);
                (checks, shape) = held(input, &bound, &types, &mut problems);
            }
        }
    }
    let errors = problems.tokens();
    let implementations = implementations(input, is_plain, checks, &shape);
    quote!(#errors #watch_lock #implementations)
}

fn unknown(input: &Input) -> TokenStream {
    let krate = input.krate();
    quote!(#krate::__derive::Shape::Unknown)
}

fn shape_of(input: &Input, ty: &syn::Type) -> TokenStream {
    let (krate, marker) = (input.krate(), input.role.marker());
    quote!(<#ty as #krate::__derive::Describe<#krate::__derive::#marker>>::SHAPE)
}

/// The checks of an item against its type, and its shape.
fn held(input: &Input, bound: &Bound, types: &Types, problems: &mut Problems) -> (TokenStream, TokenStream) {
    let krate = input.krate();
    let root = quote!(#krate::__derive);
    let ident = &input.derive.ident;
    let (name, place) = (ident.to_string(), in_place(bound, types, ""));
    let Some(layout) = &bound.layout else {
        let size = bound.size as usize;
        let (_, ty_generics, _) = input.derive.generics.split_for_impl();
        let check = quote_spanned!(ident.span()=> #root::size::<#ident #ty_generics>(true, #name, #size, #place));
        return (constant(input, check, ident.span()), unknown(input));
    };
    if let Some(field) = input.wrapped() {
        let (ty, wanted, spelling) = (&field.ty, describe::ty(layout, &root), describe::spelling(layout));
        let marker = input.role.marker();
        let check = quote_spanned!(ty.span()=>
            #root::member::<#ty, #root::#marker>(0, 0, true, #name, 0, #wanted, #spelling, #place));
        return (constant(input, check, ty.span()), shape_of(input, ty));
    }
    let Some(composite) = layout.composite() else {
        problems.add(ident.span(), format!("`{name}` has fields here, but is {} {place}", describe::spelling(layout)));
        return (TokenStream::new(), unknown(input));
    };
    let is_union = composite.kind() == maplock_layout::CompositeKind::Union;
    if is_union != input.is_union() {
        let (here, there) = if is_union { ("struct", "union") } else { ("union", "struct") };
        problems.add(ident.span(), format!("`{name}` is a {here} here, but a {there} {place}"));
        return (TokenStream::new(), unknown(input));
    }
    let checks = checks(input, layout, composite, bound, types, problems);
    let (told, digest) = (&bound.name, layout.digest().number());
    let shape = quote!(#root::Shape::Named { name: #told, digest: #digest });
    // A type that is refused already is not held against what has it, too.
    (checks, if problems.is_empty() { shape } else { unknown(input) })
}

fn checks(
    input: &Input,
    layout: &Layout,
    composite: &Composite,
    bound: &Bound,
    types: &Types,
    problems: &mut Problems,
) -> TokenStream {
    let (krate, marker, ident) = (input.krate(), input.role.marker(), &input.derive.ident);
    let root = quote!(#krate::__derive);
    let (_, ty_generics, _) = input.derive.generics.split_for_impl();
    let this = quote!(#ident #ty_generics);
    let assigned = fields::assign(input, composite, bound, types, problems);
    let mut out = TokenStream::new();
    // Where the field before ends here, and whether its member is where it has to be.
    let (mut free, mut follows) = (quote!(0), quote!(true));
    let is_complete = assigned.iter().all(Option::is_some) && problems.is_empty();
    for (field, against) in input.fields().into_iter().zip(&assigned) {
        let (Some(at), ty, name) = (&field.ident, &field.ty, name_of(field)) else { continue };
        let offset = if input.is_union() { quote!(0) } else { quote!(::core::mem::offset_of!(#this, #at)) };
        // Arms of a union all start where it does.
        let before = if input.is_union() { quote!(0) } else { free.clone() };
        let span = at.span();
        let check = match against {
            Some(Against::Member { name: member, offset: wanted_at, layout }) => {
                let (wanted, spelling) = (describe::ty(layout, &root), describe::spelling(layout));
                let (wanted_at, place) = (*wanted_at as usize, in_place(bound, types, member));
                let wanted_end = wanted_at + layout.size as usize;
                let told = if member == &name { name } else { format!("{name}`, C's `{member}") };
                let check = quote_spanned!(span=> #root::member::<#ty, #root::#marker>(
                    #offset, #before, #follows, #told, #wanted_at, #wanted, #spelling, #place));
                if !input.is_union() {
                    follows = quote!(#offset + ::core::mem::size_of::<#ty>() == #wanted_end);
                }
                check
            }
            Some(Against::Bits { start, end }) => {
                let (start, end, place) = (*start as usize, *end as usize, in_place(bound, types, ""));
                quote_spanned!(span=> #root::bits::<#ty, #root::#marker>(#offset, #name, #start, #end, #place))
            }
            Some(Against::Padding) => {
                let members = composite.flat_members();
                let ranges = members.iter().map(|flat| {
                    let (start, end) = bytes_of(flat);
                    let (start, end) = (start as usize, end as usize);
                    quote!((#start, #end))
                });
                let place = in_place(bound, types, "");
                quote_spanned!(span=> if #follows {
                    #root::padding(#offset, ::core::mem::size_of::<#ty>(), #before, #name, &[#(#ranges),*], #place)
                })
            }
            None => TokenStream::new(),
        };
        free = quote!(#offset + ::core::mem::size_of::<#ty>());
        // Where a member is missing, all that follow are off their place, which says nothing new.
        if is_complete {
            out.extend(constant(input, check, span));
        }
    }
    if is_complete {
        let (name, size, place) = (ident.to_string(), layout.size as usize, in_place(bound, types, ""));
        let check = quote_spanned!(ident.span()=> #root::size::<#this>(#follows, #name, #size, #place));
        out.extend(constant(input, check, ident.span()));
        if !input.is_union() {
            let end = quote_spanned!(ident.span()=> if #follows && ::core::mem::size_of::<#this>() == #size {
                #root::end(#free, ::core::mem::size_of::<#this>())
            });
            out.extend(constant(input, end, ident.span()));
        }
    }
    out
}

/// One check: a constant of its own, so that all that fail are told, or a statement if the type has parameters.
fn constant(input: &Input, check: TokenStream, span: Span) -> TokenStream {
    // An error points at all tokens of the check, which have to be at the field then.
    let check = at(check, span);
    if input.derive.generics.params.is_empty() { quote!(const _: () = #check;) } else { quote!({ #check };) }
}

/// The same tokens, as if they stood at `span`. Their names mean what they did.
pub(crate) fn at(tokens: TokenStream, span: Span) -> TokenStream {
    let moved = tokens.into_iter().map(|token| {
        let mut token = match token {
            TokenTree::Group(group) => TokenTree::Group(Group::new(group.delimiter(), at(group.stream(), span))),
            other => other,
        };
        token.set_span(span.resolved_at(token.span()));
        token
    });
    moved.collect()
}

/// The implementations of the traits.
fn implementations(input: &Input, is_plain: bool, checks: TokenStream, shape: &TokenStream) -> TokenStream {
    let (krate, ident, marker, derive) = (input.krate(), &input.derive.ident, input.role.marker(), input.role.derive());
    let root = quote!(#krate::__derive);
    let mut generics = input.derive.generics.clone();
    let types: Vec<_> = generics.type_params().map(|param| param.ident.clone()).collect();
    let has_parameters = !generics.params.is_empty();
    let mut plain = TokenStream::new();
    if !types.is_empty() {
        let clause = generics.make_where_clause();
        for ty in &types {
            clause.predicates.push(syn::parse_quote!(#ty: #root::Describe<#root::#marker> + #krate::#derive));
            if cfg!(feature = "aya") {
                clause.predicates.push(syn::parse_quote!(#ty: ::core::marker::Copy));
            }
        }
    }
    let (impl_generics, ty_generics, clause) = generics.split_for_impl();
    let (items, statements) = if has_parameters { (TokenStream::new(), checks) } else { (checks, TokenStream::new()) };
    let this = quote!(#ident #ty_generics);
    if is_plain {
        // The derives for both roles may stand on one type; what is not of a role is implemented by the first.
        let place = memory::place(ident.span());
        let is_first = memory::is_first(&format!("plain {place} {ident}"), &format!("{:?}", input.role));
        let bound = if has_parameters && !types.is_empty() { quote!(#clause) } else { TokenStream::new() };
        plain = quote!(impl #impl_generics #krate::#derive for #this #bound {});
        if is_first && input.is_union() {
            plain.extend(union_bytes(input, &root));
        }
        if is_first && cfg!(feature = "aya") {
            plain.extend(quote! {
                // SAFETY: `MapKey` and `MapValue` ask for zerocopy's `FromBytes` and `IntoBytes`: any bytes are a value, and none of
                // them is padding.
                #[allow(unsafe_code)]
                unsafe impl #impl_generics #root::Pod for #this #bound {}
            });
        }
    }
    quote! {
        #[allow(clippy::all, clippy::pedantic, clippy::restriction, deprecated, unused_qualifications, unused_parens)]
        const _: () = {
            #items
            #[automatically_derived]
            impl #impl_generics #root::Describe<#root::#marker> for #this #clause {
                const SHAPE: #root::Shape = { #statements #shape };
            }
            #plain
        };
    }
}

/// zerocopy's `IntoBytes` for a union, which its own derive does not do on stable Rust.
fn union_bytes(input: &Input, root: &TokenStream) -> TokenStream {
    let (ident, generics) = (&input.derive.ident, &input.derive.generics);
    if !generics.params.is_empty() {
        return TokenStream::new();
    }
    let arms = input.fields().into_iter().map(|field| {
        let (ty, name) = (&field.ty, name_of(field));
        let span = field.ident.as_ref().map_or_else(|| ident.span(), |ident| ident.span());
        let fills = at(quote!(const _: () = #root::arm::<#ty, #ident>(#name);), span);
        quote_spanned! {span=>
            #fills
            const _: fn() = || {
                fn all_bytes_are_data<T: #root::zerocopy::IntoBytes>() {}
                all_bytes_are_data::<#ty>();
            };
        }
    });
    quote! {
        #(#arms)*
        // SAFETY: each arm is as large as the union and `IntoBytes`, as asserted above, so that whichever was written last, all bytes
        // are initialised.
        #[allow(unsafe_code)]
        unsafe impl #root::zerocopy::IntoBytes for #ident {
            fn only_derive_is_allowed_to_implement_this_trait() {}
        }
    }
}
