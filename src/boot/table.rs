//! Tables for people, within the width of a terminal.

/// The width that a table keeps within, as long as its numbers allow it.
const WIDTH: usize = 80;
/// No text is cut to fewer letters.
const LEAST: usize = 8;

/// A table that grows by rows.
#[derive(Debug)]
pub(super) struct Table {
    /// Invariant: each row has as many cells as there are columns; the first row is the head.
    rows: Vec<Vec<String>>,
    /// So many columns are texts, which stand left and may be cut; the others are numbers.
    texts: usize,
}

impl Table {
    /// A table with the names of its columns, of which the first `texts` are texts.
    pub(super) fn new(head: &[&str], texts: usize) -> Self {
        Self { rows: vec![head.iter().map(|name| (*name).to_owned()).collect()], texts }
    }

    /// Appends a row.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(Some(cells.len()), self.rows.first().map(Vec::len), "a cell a column");
        self.rows.push(cells);
    }

    /// Lines without blanks at their ends.
    pub(super) fn text(&self) -> String {
        let widths = self.widths();
        let mut out = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (place, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let cell = cut(cell, *width);
                let blanks = " ".repeat(width.saturating_sub(cell.chars().count()));
                let gap = if place == 0 { "" } else { "  " };
                line.push_str(gap);
                if place < self.texts {
                    line.push_str(&cell);
                    line.push_str(&blanks);
                } else {
                    line.push_str(&blanks);
                    line.push_str(&cell);
                }
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }

    /// The longest cell of each column; while the table is too wide, its widest text gives way.
    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.first().map_or(0, Vec::len);
        let longest = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
        };
        let mut widths: Vec<usize> =
            (0..columns).map(|column| longest(column).unwrap_or(0)).collect();
        let gaps = 2 * columns.saturating_sub(1);
        while widths.iter().sum::<usize>() + gaps > WIDTH {
            let texts = widths.iter_mut().take(self.texts);
            let Some(widest) = texts.max_by_key(|width| **width).filter(|width| **width > LEAST)
            else {
                break;
            };
            *widest -= 1;
        }
        widths
    }
}

/// A text of at most so many letters, with a mark where it was cut.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stand_left_and_give_way_numbers_stand_right_and_stay() {
        let mut table = Table::new(&["KEY", "MODEL", "COST"], 2);
        table.row(vec!["a".to_owned(), "m".to_owned(), "1.5".to_owned()]);
        assert_eq!(table.text(), "KEY  MODEL  COST\na    m       1.5\n");
        table.row(vec!["é".repeat(100), "m".repeat(40), "1".repeat(30)]);
        let text = table.text();
        let last = text.lines().last().expect("a line");
        assert_eq!(last.chars().count(), 80);
        assert!(last.contains("é…") && last.contains(&"1".repeat(30)), "{text}");
        let mut wide = Table::new(&["KEY", "A"], 1);
        wide.row(vec!["k".repeat(20), "1".repeat(100)]);
        assert!(wide.text().contains(&format!("{}…  1", "k".repeat(7))), "{}", wide.text());
    }
}
