//! Layouts from C declarations, laid out as the BPF target does, so that a test shows what a person would write.
//!
//! Known are structs, unions, enums, typedefs, arrays, bit-fields, pointers, `packed` and `aligned(n)` behind a closing
//! brace, and the scalars `u8` to `u128`, `s8` to `s128`, `char`, `bool`, `float` and `double`.

use std::collections::HashMap;
use std::sync::Arc;

use maplock_layout::{Composite, CompositeKind, Enumeration, IntKind, Layout, Member, Shape};

/// The layout of the last type that `source` declares or names.
pub fn layout(source: &str) -> Arc<Layout> {
    let mut parser = Parser { tokens: tokens(source), next: 0, tags: HashMap::new(), typedefs: HashMap::new() };
    let mut last = None;
    while parser.peek().is_some() {
        let is_typedef = parser.eat("typedef");
        let base = parser.base();
        if is_typedef {
            let (name, ty, _) = parser.declarator(base);
            let mut named = (*ty.layout).clone();
            named.typedef = Some(name.as_str().into());
            let named = Type { layout: Arc::new(named), align: ty.align };
            parser.typedefs.insert(name, named.clone());
            last = Some(named);
        } else {
            last = Some(parser.dimensions(base));
        }
        assert!(parser.eat(";") || parser.peek().is_none(), "`;` expected before {:?}", parser.peek());
    }
    last.expect("a type").layout
}

#[derive(Clone)]
struct Type {
    layout: Arc<Layout>,
    align: u64,
}

struct Parser {
    tokens: Vec<String>,
    next: usize,
    tags: HashMap<String, Type>,
    typedefs: HashMap<String, Type>,
}

fn tokens(source: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut in_word = false;
    for c in source.chars() {
        let is_word = c.is_alphanumeric() || c == '_';
        match tokens.last_mut() {
            Some(word) if is_word && in_word => word.push(c),
            _ if c.is_whitespace() => {}
            _ => tokens.push(c.to_string()),
        }
        in_word = is_word;
    }
    tokens
}

impl Parser {
    fn peek(&self) -> Option<&str> {
        self.tokens.get(self.next).map(String::as_str)
    }

    fn take(&mut self) -> String {
        self.next += 1;
        self.tokens.get(self.next - 1).expect("more tokens").clone()
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.peek() == Some(token);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, token: &str) {
        assert!(self.eat(token), "`{token}` expected before {:?}", self.peek());
    }

    fn number(&mut self) -> i128 {
        let sign = if self.eat("-") { -1 } else { 1 };
        let digits = self.take();
        sign * digits.parse::<i128>().unwrap_or_else(|_| panic!("`{digits}` is not a number"))
    }

    /// A type without what a declarator adds.
    fn base(&mut self) -> Type {
        let word = self.take();
        match word.as_str() {
            "struct" => self.composite(CompositeKind::Struct),
            "union" => self.composite(CompositeKind::Union),
            "enum" => self.enumeration(),
            scalar => match self.typedefs.get(scalar) {
                Some(typedef) => typedef.clone(),
                None => Self::scalar(scalar),
            },
        }
    }

    fn scalar(word: &str) -> Type {
        let (size, shape) = match word {
            "void" => (0, Shape::Opaque { name: "void".into() }),
            "char" => (1, Shape::Int(IntKind::Char)),
            "bool" => (1, Shape::Int(IntKind::Bool)),
            "float" => (4, Shape::Float),
            "double" => (8, Shape::Float),
            _ => {
                let (kind, bits) = word.split_at(1);
                let bits: u64 = bits.parse().unwrap_or_else(|_| panic!("`{word}` is not a type"));
                (bits / 8, Shape::Int(if kind == "s" { IntKind::Signed } else { IntKind::Unsigned }))
            }
        };
        Type { layout: Arc::new(Layout::new(size, shape)), align: size.clamp(1, 16) }
    }

    fn tag(&mut self) -> Option<String> {
        self.peek().filter(|&token| token != "{").is_some().then(|| self.take())
    }

    fn composite(&mut self, kind: CompositeKind) -> Type {
        let tag = self.tag();
        if !self.eat("{") {
            let tag = tag.expect("a tag");
            let opaque = || Layout::new(0, Shape::Opaque { name: format!("{} {tag}", kind.keyword()).into() });
            return self.tags.get(&tag).cloned().unwrap_or_else(|| Type { layout: Arc::new(opaque()), align: 1 });
        }
        let mut fields = Vec::new();
        while !self.eat("}") {
            let base = self.base();
            if self.eat(";") {
                fields.push((String::new(), base, None));
                continue;
            }
            loop {
                fields.push(self.declarator(base.clone()));
                if !self.eat(",") {
                    break;
                }
            }
            self.expect(";");
        }
        let packed = self.eat("packed");
        let aligned = if self.eat("aligned") { self.parenthesized() } else { 1 };

        let (mut members, mut end, mut align) = (Vec::new(), 0, aligned);
        for (name, ty, bits) in fields {
            let natural = if packed { 1 } else { ty.align };
            align = align.max(natural);
            let start = if kind == CompositeKind::Union { 0 } else { end };
            let unit = ty.layout.size * 8;
            let offset_bits = match bits {
                // A bit-field does not straddle two units of its type.
                Some(bits) if packed || start / unit == (start + u64::from(bits) - 1) / unit => start,
                Some(_) => u64::next_multiple_of(start, unit),
                None => u64::next_multiple_of(start, natural * 8),
            };
            let member = Member { name: name.into(), offset_bits, bits, layout: ty.layout };
            end = end.max(member.end_bits());
            members.push(member);
        }
        let size = end.div_ceil(8).next_multiple_of(align);
        let composite = Composite::new(kind, tag.as_deref().map(Into::into), members).unwrap();
        let ty = Type { layout: Arc::new(Layout::new(size, Shape::Composite(Arc::new(composite)))), align };
        if let Some(tag) = tag {
            self.tags.insert(tag, ty.clone());
        }
        ty
    }

    fn enumeration(&mut self) -> Type {
        let tag = self.tag();
        if !self.eat("{") {
            return self.tags.get(&tag.expect("a tag")).expect("a known enum").clone();
        }
        let (mut values, mut next) = (Vec::new(), 0);
        while !self.eat("}") {
            let name = self.take();
            if self.eat("=") {
                next = self.number();
            }
            values.push((name.into(), next));
            next += 1;
            _ = self.eat(",");
        }
        let of = Enumeration { name: tag.as_deref().map(Into::into), values };
        let ty = Type { layout: Arc::new(Layout::new(4, Shape::Enum(Arc::new(of)))), align: 4 };
        if let Some(tag) = tag {
            self.tags.insert(tag, ty.clone());
        }
        ty
    }

    fn parenthesized(&mut self) -> u64 {
        self.expect("(");
        let number = self.number();
        self.expect(")");
        u64::try_from(number).unwrap()
    }

    /// `*name[n][m]` or `name : bits`.
    fn declarator(&mut self, mut base: Type) -> (String, Type, Option<u32>) {
        while self.eat("*") {
            let target = base.layout.spelling().into();
            base = Type { layout: Arc::new(Layout::new(8, Shape::Pointer { target })), align: 8 };
        }
        let name = self.take();
        let ty = self.dimensions(base);
        let bits = self.eat(":").then(|| u32::try_from(self.number()).unwrap());
        (name, ty, bits)
    }

    fn dimensions(&mut self, base: Type) -> Type {
        let mut lens = Vec::new();
        while self.eat("[") {
            lens.push(u32::try_from(self.number()).unwrap());
            self.expect("]");
        }
        lens.into_iter().rev().fold(base, |ty, len| {
            let array = Shape::Array { element: Arc::clone(&ty.layout), len };
            Type { layout: Arc::new(Layout::new(ty.layout.size * u64::from(len), array)), align: ty.align }
        })
    }
}
