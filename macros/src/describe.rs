//! Types of the lock as tokens of `maplock::__derive::Type`.

use maplock_layout::{IntKind, Layout, Shape};
use proc_macro2::TokenStream;
use quote::quote;

/// The type as Rust has to hold it. `root` is the path of `maplock::__derive`.
pub(crate) fn ty(layout: &Layout, root: &TokenStream) -> TokenStream {
    let size = layout.size as usize;
    let int = |sign: TokenStream, is_network: bool| quote!(#root::Type::Int { size: #size, sign: #root::Sign::#sign, is_network: #is_network });
    match &layout.shape {
        Shape::Int(IntKind::Unsigned) => int(quote!(Unsigned), is_network(layout)),
        Shape::Int(IntKind::Signed) => int(quote!(Signed), false),
        Shape::Int(IntKind::Char | IntKind::Bool) | Shape::Enum(_) | Shape::Pointer { .. } => int(quote!(Any), false),
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
        Shape::Array { element, len } => format!("[{}; {len}]", bare_spelling(element)),
        // Rust's `char` is another.
        Shape::Int(IntKind::Char) => "c_char".to_owned(),
        _ => layout.spelling_without_typedef(),
    }
}

fn is_network(layout: &Layout) -> bool {
    matches!(layout.typedef.as_deref(), Some("__be16" | "__be32" | "__be64"))
}
