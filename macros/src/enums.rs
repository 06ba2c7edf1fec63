//! Enums without fields: their numbers are held against the lock's. They are no keys and no values, for any bytes must be one.

use maplock_layout::Shape;
use maplock_layout::rules::nearest;
use proc_macro2::TokenStream;
use quote::quote;

use crate::attribute::OfField;
use crate::fields::in_place;
use crate::input::{Input, Problems};
use crate::structs::{Binding, at, bind, watch};
use crate::types::snake_case;

/// The expansion for an enum.
pub(crate) fn expand(input: &Input, data: &syn::DataEnum) -> TokenStream {
    let mut problems = Problems::default();
    let ident = &input.derive.ident;
    if let Some(variant) = data.variants.iter().find(|variant| !variant.fields.is_empty()) {
        let text =
            format!("`{}` has fields, and C's enums have none; use a struct with a tag and a union", variant.ident);
        problems.add(variant.ident.span(), text);
    }
    if input.repr.int.is_none() {
        let text = format!("the width of `{ident}` is not fixed; add `#[repr(u32)]`, or the integer that C has");
        problems.add(ident.span(), text);
    }
    let (mut checks, mut watch_lock) = (TokenStream::new(), TokenStream::new());
    if problems.is_empty() {
        match bind(input) {
            Binding::Told => {}
            Binding::Problem(problem) => problems.add(ident.span(), problem),
            Binding::Type(bound, types) => {
                watch_lock = watch(input);
                let place = in_place(&bound, &types, "");
                checks = held(input, data, bound.layout.as_deref(), &place, &mut problems);
            }
        }
    }
    let (krate, marker, errors) = (input.krate(), input.role.marker(), problems.tokens());
    let root = quote!(#krate::__derive);
    let (name, repr) = (ident.to_string(), input.repr.int.as_deref().unwrap_or("u32"));
    let (impl_generics, ty_generics, clause) = input.derive.generics.split_for_impl();
    quote! {
        #errors
        #watch_lock
        #[allow(clippy::all, clippy::pedantic, clippy::restriction, deprecated, unused_qualifications)]
        const _: () = {
            #checks
            #[automatically_derived]
            impl #impl_generics #root::Describe<#root::#marker> for #ident #ty_generics #clause {
                const SHAPE: #root::Shape = #root::Shape::Enum { name: #name, repr: #repr };
            }
        };
    }
}

fn held(
    input: &Input,
    data: &syn::DataEnum,
    layout: Option<&maplock_layout::Layout>,
    place: &str,
    problems: &mut Problems,
) -> TokenStream {
    let (krate, ident) = (input.krate(), &input.derive.ident);
    let root = quote!(#krate::__derive);
    let Some((size, Shape::Enum(of))) = layout.map(|layout| (layout.size as usize, &layout.shape)) else {
        problems.add(ident.span(), format!("`{ident}` is an enum here, but none {place}"));
        return TokenStream::new();
    };
    let (mut out, mut told) = (TokenStream::new(), Vec::new());
    for variant in &data.variants {
        let (wanted, span) = match OfField::parse(&variant.attrs) {
            Ok(OfField { rename: Some(name), .. }) => (name.value(), name.span()),
            Ok(_) => (snake_case(&variant.ident.to_string()).to_uppercase(), variant.ident.span()),
            Err(error) => {
                problems.take(error);
                continue;
            }
        };
        let suffix = format!("_{wanted}");
        let found = of.values.iter().find(|(name, _)| **name == *wanted || variant.ident == **name);
        let found = found.or_else(|| of.values.iter().find(|(name, _)| name.to_uppercase().ends_with(&suffix)));
        let Some((name, number)) = found else {
            let names: Vec<&str> = of.values.iter().map(|(name, _)| &**name).collect();
            let hint = nearest(&wanted, names.iter().copied()).map_or_else(
                || format!("it has `{}`", names.join("`, `")),
                |near| format!("did you mean `#[maplock(rename = \"{near}\")]`?"),
            );
            problems.add(span, format!("`{}` is no enumerator {place}; {hint}", variant.ident));
            continue;
        };
        told.push(&**name);
        let (name, text) = (&variant.ident, variant.ident.to_string());
        let check = quote!(const _: () = #root::enumerator(#ident::#name as i128, #text, #number, #place););
        out.extend(at(check, name.span()));
    }
    for (name, number) in of.values.iter().filter(|(name, _)| !told.contains(&&**name)) {
        if problems.is_empty() {
            problems.add(ident.span(), format!("no variant is `{name}`, {number} {place}; add it"));
        }
    }
    let text = ident.to_string();
    out.extend(at(quote!(const _: () = #root::size::<#ident>(true, #text, #size, #place);), ident.span()));
    out
}
