//! Types of the lock as tokens of `maplock::__derive::Type`.

use maplock_layout::btf::Endian;
use maplock_layout::{IntKind, Layout, Shape};
use proc_macro2::TokenStream;
use quote::quote;

/// The type as Rust has to hold it. `root` is the path of `maplock::__derive`.
pub(crate) fn ty(layout: &Layout, root: &TokenStream) -> TokenStream {
    let size = layout.size as usize;
    let int = |sign: TokenStream, order: TokenStream| quote!(#root::Type::Int { size: #size, sign: #root::Sign::#sign, order: #root::Order::#order });
    match &layout.shape {
        Shape::Int(IntKind::Unsigned) => int(quote!(Unsigned), order(layout)),
        Shape::Int(IntKind::Signed) => int(quote!(Signed), quote!(Untold)),
        Shape::Int(IntKind::Char | IntKind::Bool) | Shape::Enum(_) | Shape::Pointer { .. } => {
            int(quote!(Any), quote!(Untold))
        }
        Shape::Float => quote!(#root::Type::Float { size: #size }),
        Shape::Array { element, len } => {
            let (element, len) = (ty(element, root), *len as usize);
            quote!(#root::Type::Array { len: #len, element: &#element })
        }
        Shape::Composite(of) => {
            let digest = layout.digest().number();
            // The arms of a union are read out of its bytes; what the kernel keeps in a lock or timer is nobody's to read.
            let may_be_bytes = of.kind() == maplock_layout::CompositeKind::Union || of.kernel_name().is_some();
            quote!(#root::Type::Named { size: #size, digest: #digest, may_be_bytes: #may_be_bytes })
        }
        Shape::Opaque { .. } => quote!(#root::Type::Never),
    }
}

/// How a member's type is told: as Rust would write it, with the typedef in front.
pub(crate) fn spelling(layout: &Layout) -> String {
    let bare = bare_spelling(layout);
    match &layout.typedef {
        Some(name) => format!("{name} (`{bare}`)"),
        None => format!("`{bare}`"),
    }
}

fn bare_spelling(layout: &Layout) -> String {
    match &layout.shape {
        Shape::Array { element, len } => {
            // What the bytes of an integer mean, its bare name does not say.
            let told = element.typedef.as_deref().filter(|_| order_of(element).is_some());
            format!("[{}; {len}]", told.map_or_else(|| bare_spelling(element), str::to_owned))
        }
        // Rust's `char` is another.
        Shape::Int(IntKind::Char) => "c_char".to_owned(),
        _ => layout.spelling_without_typedef(),
    }
}

/// The order of an integer's bytes, as the checks take it.
fn order(layout: &Layout) -> TokenStream {
    match order_of(layout) {
        Some(Endian::Big) => quote!(Big),
        Some(Endian::Little) => quote!(Little),
        None => quote!(Untold),
    }
}

/// The order of an integer's bytes, which the kernel's typedefs tell.
fn order_of(layout: &Layout) -> Option<Endian> {
    match layout.typedef.as_deref()? {
        "__be16" | "__be32" | "__be64" => Some(Endian::Big),
        "__le16" | "__le32" | "__le64" => Some(Endian::Little),
        _ => None,
    }
}
