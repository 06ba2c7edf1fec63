//! Values of a lockfile, each with the line to blame.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{LockError, LockProblem};
use crate::config::{did_you_mean, line_of};
use crate::digest::Digest;

pub(super) type Value<'a> = Spanned<DeValue<'a>>;
pub(super) type Result<T> = std::result::Result<T, LockError>;

pub(super) struct Reader<'t> {
    pub(super) text: &'t str,
    pub(super) compares_checksums: bool,
}

impl Reader<'_> {
    pub(super) fn line(&self, span: &Range<usize>) -> usize {
        line_of(self.text, span.start)
    }

    pub(super) fn at(&self, span: Range<usize>, problem: String) -> LockError {
        LockError { line: self.line(&span), problem: LockProblem::Malformed(problem) }
    }

    pub(super) fn table<'v, 'a>(&self, value: &'v Value<'a>) -> Result<&'v DeTable<'a>> {
        value.get_ref().as_table().ok_or_else(|| self.at(value.span(), "not a table".to_owned()))
    }

    pub(super) fn array<'v, 'a>(&self, value: &'v Value<'a>) -> Result<&'v [Value<'a>]> {
        let array = value.get_ref().as_array().ok_or_else(|| self.at(value.span(), "not a list".to_owned()))?;
        Ok(array)
    }

    pub(super) fn string<'v>(&self, value: &'v Value<'_>) -> Result<&'v str> {
        value.get_ref().as_str().ok_or_else(|| self.at(value.span(), "not a string".to_owned()))
    }

    /// A text that is a name, or has names in it.
    pub(super) fn name<'v>(&self, value: &'v Value<'_>) -> Result<&'v str> {
        let name = self.string(value)?;
        self.check_name(name, value.span())?;
        Ok(name)
    }

    /// The names of a table's own, each with what it names.
    pub(super) fn named<'v, 'a>(&self, value: &'v Value<'a>) -> Result<Vec<(&'v str, &'v Value<'a>)>> {
        let table = self.table(value)?.iter();
        let checked = |(name, value): (&'v Spanned<_>, _)| {
            let of: &'v std::borrow::Cow<'a, str> = name.get_ref();
            self.check_name(of, name.span()).map(|()| (&**of, value))
        };
        table.map(checked).collect()
    }

    /// A name is shown on terminals, where a control character is a command.
    fn check_name(&self, name: &str, span: Range<usize>) -> Result<()> {
        match name.contains(char::is_control) {
            false => Ok(()),
            true => Err(self.at(span, format!("the name `{}` has a control character", name.escape_debug()))),
        }
    }

    pub(super) fn bool(&self, value: &Value<'_>) -> Result<bool> {
        value.get_ref().as_bool().ok_or_else(|| self.at(value.span(), "not true or false".to_owned()))
    }

    pub(super) fn integer(&self, value: &Value<'_>) -> Result<i64> {
        let integer = value.get_ref().as_integer();
        let parsed = integer.and_then(|integer| i64::from_str_radix(integer.as_str(), integer.radix()).ok());
        parsed.ok_or_else(|| self.at(value.span(), "not an integer".to_owned()))
    }

    pub(super) fn number<T: TryFrom<i64>>(&self, value: &Value<'_>) -> Result<T> {
        let integer = self.integer(value)?;
        T::try_from(integer).map_err(|_| self.at(value.span(), format!("{integer} is out of range")))
    }

    pub(super) fn only(&self, table: &DeTable<'_>, known: &[&str]) -> Result<()> {
        match table.iter().find(|(key, _)| !known.contains(&&**key.get_ref())) {
            None => Ok(()),
            Some((key, _)) => {
                let name = key.get_ref();
                let hint = did_you_mean(name, known.iter().copied());
                Err(self.at(key.span(), format!("`{name}` is not known here{hint}")))
            }
        }
    }

    pub(super) fn required<'v, 'a>(&self, table: &'v DeTable<'a>, key: &str, of: &Value<'_>) -> Result<&'v Value<'a>> {
        table.get(key).ok_or_else(|| self.at(of.span(), format!("`{key}` is missing")))
    }

    pub(super) fn digest(&self, value: &Value<'_>) -> Result<Digest> {
        let text = self.string(value)?;
        Digest::parse(text).ok_or_else(|| self.at(value.span(), format!("`{text}` is not a digest of 32 hex digits")))
    }
}
