//! C declarations of any struct that the other half of these tests' support can lay out.

use proptest::prelude::*;

fn scalar() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["u8", "s16", "u32", "s64", "u128", "char", "bool", "float", "double"])
        .prop_map(str::to_owned)
}

/// A type's body, as (what stands before a member's name, what stands behind).
fn ty(depth: u32) -> BoxedStrategy<(String, String)> {
    let plain = scalar().prop_map(|ty| (format!("{ty} "), String::new()));
    let bits = (prop::sample::select(vec!["u8", "u32", "s64"]), 1..=8)
        .prop_map(|(ty, bits)| (format!("{ty} "), format!(":{bits}")));
    let pointer = Just(("struct other *".to_owned(), String::new()));
    let kind = prop::collection::vec(-3..300, 0..4).prop_map(|values| {
        let values: String = values.iter().enumerate().map(|(n, value)| format!("E{n} = {value}, ")).collect();
        (format!("enum {{ {values} }} "), String::new())
    });
    if depth == 0 {
        return prop_oneof![plain, bits, pointer, kind].boxed();
    }
    let body = prop::collection::vec(ty(depth - 1), 0..4);
    let composite = (prop::sample::select(vec!["struct", "union"]), any::<Option<u8>>(), body, any::<bool>()).prop_map(
        |(kind, tag, body, packed)| {
            let tag = tag.map(|tag| format!("s{}", tag % 4)).unwrap_or_default();
            let members: String =
                body.iter().enumerate().map(|(n, (before, behind))| format!("{before}m{n}{behind}; ")).collect();
            (format!("{kind} {tag} {{ {members} }} {} ", if packed { "packed" } else { "" }), String::new())
        },
    );
    let array = (ty(depth - 1), 0..4_u32, 1..3_u32).prop_map(|((before, behind), a, b)| {
        // An array of bit-fields does not exist.
        if behind.starts_with(':') { (before, behind) } else { (before, format!("[{a}][{b}]{behind}")) }
    });
    prop_oneof![plain, bits, pointer, kind, composite.clone(), composite, array].boxed()
}

/// A declaration of `struct v`.
pub fn value() -> impl Strategy<Value = String> {
    prop::collection::vec((ty(3), any::<bool>()), 0..6).prop_map(|members| {
        let members: String = members
            .iter()
            .enumerate()
            .map(|(n, ((before, behind), anonymous))| {
                let anonymous =
                    *anonymous && before.ends_with("}  ") && behind.is_empty() && !before.starts_with("enum");
                if anonymous { format!("{before}; ") } else { format!("{before}top{n}{behind}; ") }
            })
            .collect();
        format!("struct v {{ {members} }};")
    })
}
