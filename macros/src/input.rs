//! The item that is derived for, and what is wrong with it whatever the lock says.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::spanned::Spanned as _;
use syn::{Data, DeriveInput, Error, Field, Path, Result, Type};

use crate::attribute::OfType;

/// Which half of an entry the type is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Key,
    Value,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Value => "value",
        }
    }

    /// The marker of `maplock::__derive`.
    pub(crate) fn marker(self) -> TokenStream {
        match self {
            Self::Key => quote!(Key),
            Self::Value => quote!(Value),
        }
    }

    pub(crate) fn derive(self) -> TokenStream {
        match self {
            Self::Key => quote!(MapKey),
            Self::Value => quote!(MapValue),
        }
    }
}

/// Errors of one item, told together.
#[derive(Default)]
pub(crate) struct Problems(Option<Error>);

impl Problems {
    pub(crate) fn add(&mut self, span: Span, text: impl std::fmt::Display) {
        self.take(Error::new(span, text));
    }

    pub(crate) fn take(&mut self, error: Error) {
        match &mut self.0 {
            Some(all) => all.combine(error),
            None => self.0 = Some(error),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn tokens(&self) -> TokenStream {
        self.0.as_ref().map(Error::to_compile_error).unwrap_or_default()
    }
}

/// An item with `#[derive(MapKey)]` or `#[derive(MapValue)]`.
pub(crate) struct Input {
    pub(crate) derive: DeriveInput,
    pub(crate) role: Role,
    pub(crate) attribute: OfType,
    pub(crate) repr: Repr,
}

/// `#[repr(..)]`.
#[derive(Default)]
pub(crate) struct Repr {
    pub(crate) is_c: bool,
    pub(crate) is_transparent: bool,
    pub(crate) is_packed: bool,
    /// The integer of an enum.
    pub(crate) int: Option<String>,
}

impl Input {
    pub(crate) fn new(derive: DeriveInput, role: Role) -> Result<Self> {
        let attribute = OfType::parse(&derive.attrs)?;
        let mut repr = Repr::default();
        for attr in derive.attrs.iter().filter(|attr| attr.path().is_ident("repr")) {
            attr.parse_nested_meta(|meta| {
                let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
                match &*name {
                    "C" => repr.is_c = true,
                    "transparent" => repr.is_transparent = true,
                    "packed" => repr.is_packed = true,
                    "align" => {}
                    _ => repr.int = Some(name),
                }
                if meta.input.peek(syn::token::Paren) {
                    let content;
                    syn::parenthesized!(content in meta.input);
                    content.parse::<TokenStream>()?;
                }
                Ok(())
            })?;
        }
        Ok(Self { derive, role, attribute, repr })
    }

    /// The path of the crate `maplock`.
    pub(crate) fn krate(&self) -> TokenStream {
        match &self.attribute.krate {
            Some(path) => quote!(#path),
            None => quote!(::maplock),
        }
    }

    /// The fields of a struct or union, in order.
    pub(crate) fn fields(&self) -> Vec<&Field> {
        match &self.derive.data {
            Data::Struct(data) => data.fields.iter().collect(),
            Data::Union(data) => data.fields.named.iter().collect(),
            Data::Enum(_) => Vec::new(),
        }
    }

    pub(crate) fn is_union(&self) -> bool {
        matches!(self.derive.data, Data::Union(_))
    }

    /// The only field of a newtype.
    pub(crate) fn wrapped(&self) -> Option<&Field> {
        match &self.derive.data {
            Data::Struct(data) if matches!(data.fields, syn::Fields::Unnamed(_)) && data.fields.len() == 1 => {
                data.fields.iter().next()
            }
            _ => None,
        }
    }

    /// What can't be laid out as C does, or not hold any bytes.
    pub(crate) fn check(&self, problems: &mut Problems) {
        let name = &self.derive.ident;
        if !self.repr.is_c && !self.repr.is_transparent {
            let fix = if self.wrapped().is_some() {
                "`#[repr(transparent)]`"
            } else if self.repr.is_packed {
                "`C`, as in `#[repr(C, packed)]`"
            } else {
                "`#[repr(C)]`"
            };
            problems.add(name.span(), format!("Rust may lay out `{name}` in any order; add {fix}"));
        }
        if let Data::Struct(data) = &self.derive.data
            && matches!(data.fields, syn::Fields::Unnamed(_))
            && data.fields.len() != 1
        {
            problems
                .add(name.span(), format!("the fields of `{name}` have no names to compare with the lock; name them"));
        }
        for field in self.fields() {
            self.check_type(field, &field.ty, problems);
        }
    }

    fn check_type(&self, field: &Field, ty: &Type, problems: &mut Problems) {
        let name = field.ident.as_ref().map_or_else(|| "0".to_owned(), ToString::to_string);
        let role = self.role.name();
        let span = field.ident.as_ref().map_or_else(|| ty.span(), |ident| ident.span());
        match ty {
            Type::Array(array) => self.check_type(field, &array.elem, problems),
            Type::Paren(inner) => self.check_type(field, &inner.elem, problems),
            Type::Group(inner) => self.check_type(field, &inner.elem, problems),
            Type::Reference(_) => problems.add(
                span,
                format!("`{name}` is a reference, and what it would refer to is not in the map; hold the data itself"),
            ),
            Type::Ptr(_) => problems.add(
                span,
                format!("`{name}` is a pointer, and means nothing outside of the kernel; hold its bits in a `u64`"),
            ),
            Type::Path(path) => match last(&path.path).as_deref() {
                Some(of @ ("usize" | "isize")) => problems.add(
                    span,
                    format!(
                        "`{name}` is a `{of}`, whose width depends on the machine that compiles it; use `{}64`, as eBPF does",
                        &of[..1]
                    ),
                ),
                Some("bool") => problems.add(
                    span,
                    format!("`{name}` is a `bool`, and the kernel may fill the {role} with any bytes; use `u8`, and ask `!= 0`"),
                ),
                Some("char") => problems.add(
                    span,
                    format!("`{name}` is a `char`, and few numbers of four bytes are one; use `u8` for C's char, `u32` for a code point"),
                ),
                _ => {}
            },
            _ => {}
        }
    }
}

fn last(path: &Path) -> Option<String> {
    path.segments.last().map(|segment| segment.ident.to_string())
}
