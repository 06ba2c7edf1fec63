//! The comment that belongs to a line of C.

/// The text of the comment at the end of line `at` (from 0), or of the one that ends on the line above it, without stars and
/// slashes; made fit for a doc comment. Nothing if the line does not have the word `name`.
pub(crate) fn comment_at(text: &[String], at: usize, name: &str) -> Vec<String> {
    let Some(line) = text.get(at).filter(|line| has_word(line, name)) else { return Vec::new() };
    let lines = match behind(line) {
        Some(Behind::Line(comment)) => vec![comment.to_owned()],
        Some(Behind::Block(start)) => block(std::iter::once(start).chain(text[at + 1..].iter().map(String::as_str))),
        None => above(&text[..at]),
    };
    let mut lines: Vec<String> = lines.iter().map(|line| escape(line.trim())).collect();
    lines.drain(..lines.iter().take_while(|line| line.is_empty()).count());
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

/// What stands behind the code of a line.
enum Behind<'t> {
    /// `// text`
    Line(&'t str),
    /// `/* text`, from there on.
    Block(&'t str),
}

/// The comment at the end of a line; one that code follows is about something else.
fn behind(line: &str) -> Option<Behind<'_>> {
    let slashes = line.find("//");
    let block = line.find("/*");
    match (slashes, block) {
        (Some(slashes), block) if block.is_none_or(|block| slashes < block) => {
            Some(Behind::Line(line[slashes..].trim_start_matches(['/', '!', '<'])))
        }
        (_, Some(block)) => {
            let rest = &line[block + 2..];
            match rest.split_once("*/") {
                Some((_, after)) if !after.trim().is_empty() => behind(after),
                _ => Some(Behind::Block(rest)),
            }
        }
        _ => None,
    }
}

/// The lines of a block comment whose first line begins behind its `/*`.
fn block<'t>(lines: impl Iterator<Item = &'t str>) -> Vec<String> {
    /// More is no comment of a member.
    const MOST: usize = 60;
    let mut out = Vec::new();
    for (index, line) in lines.take(MOST).enumerate() {
        let (inside, is_last) = line.split_once("*/").map_or((line, false), |(inside, _)| (inside, true));
        let inside = inside.trim_start();
        let inside = if index == 0 {
            inside.trim_start_matches(['*', '!', '<'])
        } else {
            inside.strip_prefix('*').unwrap_or(inside)
        };
        out.push(inside.to_owned());
        if is_last {
            return out;
        }
    }
    Vec::new()
}

/// The comment whose last line is the last of `text`, and which has its lines for itself.
fn above(text: &[String]) -> Vec<String> {
    let is_line = |line: &&String| line.trim_start().starts_with("//");
    let slashes: Vec<_> = text.iter().rev().take_while(is_line).collect();
    if !slashes.is_empty() {
        return slashes.iter().rev().map(|line| line.trim_start().trim_start_matches(['/', '!']).to_owned()).collect();
    }
    if !text.last().is_some_and(|line| line.trim_end().ends_with("*/")) {
        return Vec::new();
    }
    let Some(start) = text.iter().rposition(|line| line.contains("/*")) else { return Vec::new() };
    match text[start].trim_start().strip_prefix("/*") {
        Some(first) => block(std::iter::once(first).chain(text[start + 1..].iter().map(String::as_str))),
        None => Vec::new(),
    }
}

fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_alone =
        |(at, found): (usize, &str)| !line[..at].ends_with(is_part) && !line[at + found.len()..].starts_with(is_part);
    !word.is_empty() && line.match_indices(word).any(is_alone)
}

/// So that a sign is a sign, and no link, tag or code of Markdown's.
fn escape(line: &str) -> String {
    line.chars().fold(String::with_capacity(line.len()), |mut out, c| {
        if matches!(c, '[' | ']' | '<' | '>' | '\\') {
            out.push('\\');
        }
        // Three of these would begin a block of code.
        out.push(if c == '\r' || c == '`' { '\'' } else { c });
        out
    })
}

#[cfg(test)]
mod tests {
    use super::comment_at;

    fn of(text: &str, name: &str) -> Vec<String> {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let at = lines.iter().position(|line| super::has_word(line.split("/*").next().unwrap_or(line), name));
        comment_at(&lines, at.expect("it is declared"), name)
    }

    const TEXT: &str = "\
/* One flow, as both
 * directions see it.
 */
struct flow {
	__u64 bytes; /* nanoseconds since boot */
	__u64 packets; // so many
	/* stands above */
	__u32 above;
	__u32 bare;
	// two
	// lines
	__u32 slashes;
	__u32 wide; /* begins here
		     * and goes on [0] */
	__u32 /* inside */ inner;
	__u32 last; /* is <b> */
};
";

    #[test]
    fn a_comment_stands_behind_or_above() {
        assert_eq!(of(TEXT, "bytes"), ["nanoseconds since boot"]);
        assert_eq!(of(TEXT, "packets"), ["so many"]);
        assert_eq!(of(TEXT, "above"), ["stands above"]);
        assert_eq!(of(TEXT, "slashes"), ["two", "lines"]);
        assert_eq!(of(TEXT, "wide"), ["begins here", "and goes on \\[0\\]"]);
        assert_eq!(of(TEXT, "flow"), ["One flow, as both", "directions see it."]);
    }

    #[test]
    fn what_belongs_to_something_else_is_left() {
        assert_eq!(of(TEXT, "bare"), [""; 0]);
        let lines: Vec<String> = TEXT.lines().map(str::to_owned).collect();
        assert_eq!(comment_at(&lines, 14, "inner"), [""; 0], "{}", lines[14]);
        assert_eq!(comment_at(&lines, 4, "packets"), [""; 0], "another line than the one that was compiled");
        assert_eq!(comment_at(&lines, 1000, "bytes"), [""; 0]);
        assert_eq!(comment_at(&["int x; /* without end".to_owned()], 0, "x"), [""; 0]);
    }

    #[test]
    fn signs_of_markdown_are_signs() {
        assert_eq!(of(TEXT, "last"), ["is \\<b\\>"]);
        assert_eq!(comment_at(&["int x; // ```c".to_owned()], 0, "x"), ["'''c"]);
    }
}
