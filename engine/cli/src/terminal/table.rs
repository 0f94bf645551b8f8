//! Tables with aligned columns.

use std::borrow::Cow;

use super::Paint;

/// Alignment of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Emphasis of a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    #[default]
    Plain,
    /// Part of the frame: headings, zeros.
    Quiet,
    /// Subject of the row.
    Strong,
    Good,
    Warning,
    Bad,
}

impl Tone {
    fn apply(self, paint: Paint, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Quiet => paint.dim(text),
            Self::Strong => paint.bold(text),
            Self::Good => paint.green(text),
            Self::Warning => paint.yellow(text),
            Self::Bad => paint.red(text),
        }
    }
}

/// Text in a table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell in this tone.
    pub(crate) fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Tone::Plain)
    }
}

/// Rows under headings, two spaces between columns.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row. Cells that it lacks are empty.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        debug_assert!(cells.len() <= self.columns.len(), "a row has no more cells than there are columns");
        self.rows.push(cells);
    }

    /// The heading and the rows, each cut to `limit` columns.
    pub(crate) fn lines(&self, limit: usize, paint: Paint) -> Vec<String> {
        let widths = self.widths();
        let headings: Vec<Cell> =
            self.columns.iter().map(|(name, _)| Cell::new(*name, Tone::Quiet)).collect();
        let rows = std::iter::once(&headings).chain(&self.rows);
        rows.map(|row| self.line(row, &widths, limit, paint)).collect()
    }

    /// Renders the table with an indent and a line end on each line.
    pub(crate) fn render(&self, indent: &str, paint: Paint) -> String {
        self.lines(usize::MAX, paint).iter().map(|line| format!("{indent}{line}\n")).collect()
    }

    /// Returns the width of the widest line.
    pub(crate) fn width(&self) -> usize {
        let widths = self.widths();
        widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1)
    }

    fn widths(&self) -> Vec<usize> {
        let width = |(index, (name, _)): (usize, &(&str, Align))| {
            let cells = self.rows.iter().filter_map(|row| row.get(index));
            cells.map(|cell| cell.text.chars().count()).max().unwrap_or(0).max(name.len())
        };
        self.columns.iter().enumerate().map(width).collect()
    }

    fn line(&self, row: &[Cell], widths: &[usize], limit: usize, paint: Paint) -> String {
        let (mut line, mut used) = (String::new(), 0);
        // Spaces are written only before the text that needs them, so that no line ends in spaces.
        let mut pending = 0;
        for (index, (cell, width)) in row.iter().zip(widths).enumerate() {
            let length = cell.text.chars().count();
            let (before, after) = match self.columns[index].1 {
                Align::Left => (0, width - length),
                Align::Right => (width - length, 0),
            };
            if length == 0 {
                pending += width + 2;
                continue;
            }
            let room = limit.saturating_sub(used + pending + before);
            if room == 0 {
                break;
            }
            line.extend(std::iter::repeat_n(' ', pending + before));
            line.push_str(&cell.tone.apply(paint, &shortened(&cell.text, room)));
            used += pending + before + length;
            pending = after + 2;
        }
        line
    }
}

/// Cuts `text` to `room` characters, with an ellipsis at its end.
pub(crate) fn shortened(text: &str, room: usize) -> Cow<'_, str> {
    match text.char_indices().nth(room) {
        Some(_) if room == 0 => "".into(),
        None => text.into(),
        Some(_) => {
            let kept = text.char_indices().nth(room.saturating_sub(1)).map_or(0, |(at, _)| at);
            format!("{}…", &text[..kept]).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_do_not_end_in_spaces() {
        let mut table = Table::new(&[("name", Align::Left), ("events", Align::Right), ("note", Align::Left)]);
        table.row(vec!["a".into(), "1,234,567".into(), "x".into()]);
        table.row(vec!["élan vital".into(), "5".into(), "".into()]);
        table.row(vec!["b".into(), "".into(), "z".into()]);
        let expected = "> name           events  note\n\
                        > a           1,234,567  x\n\
                        > élan vital          5\n\
                        > b                      z\n";
        assert_eq!(table.render("> ", Paint::PLAIN), expected);
        let cut = table.lines(17, Paint::PLAIN);
        assert_eq!(cut[1..], ["a           1,23…", "élan vital", "b"]);
    }

    #[test]
    fn long_text_is_cut_with_an_ellipsis() {
        assert_eq!(shortened("abc", 3), "abc");
        assert_eq!(shortened("äöü", 2), "ä…");
        assert_eq!(shortened("abc", 0), "");
    }

    proptest::proptest! {
        #[test]
        fn no_line_is_wider_than_the_limit(
            rows in proptest::collection::vec(proptest::collection::vec("[a-zä ]{0,12}", 3), 0..5),
            limit in 0_usize..60,
        ) {
            let mut table = Table::new(&[("one", Align::Left), ("two", Align::Right), ("three", Align::Left)]);
            for row in rows {
                table.row(row.into_iter().map(Cell::from).collect());
            }
            for line in table.lines(limit, Paint::PLAIN) {
                assert!(line.chars().count() <= limit, "{limit}: {line:?}");
            }
        }
    }
}
