//! Writes a screen as SVG, for documentation and for looking at it.

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use unicode_width::UnicodeWidthStr;

const CELL: (f32, f32) = (9.0, 18.0);
const MARGIN: f32 = 14.0;
const BACK: &str = "#14181d";
const FORE: &str = "#d6dbe0";

/// A screen as SVG text. The same screen gives the same text.
#[must_use]
pub fn svg(buffer: &Buffer, title: &str) -> String {
    let area = buffer.area;
    let width = f32::from(area.width) * CELL.0 + 2.0 * MARGIN;
    let height = f32::from(area.height) * CELL.1 + 2.0 * MARGIN;
    let mut out = String::new();
    out.push_str(&format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\n<title>{}</title>\n\
         <style>text{{font-family:'DejaVu Sans Mono','Noto Sans Mono',Menlo,Consolas,monospace;font-size:15px;white-space:pre}}\
         .b{{font-weight:bold}}.i{{font-style:italic}}.u{{text-decoration:underline}}</style>\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"{BACK}\"/>\n",
        escape(title)
    ));
    for row in 0..area.height {
        let cells: Vec<&Cell> = (0..area.width).map(|column| &buffer[(area.x + column, area.y + row)]).collect();
        backgrounds(&mut out, &cells, row);
        texts(&mut out, &cells, row);
    }
    out.push_str("</svg>\n");
    out
}

fn colours(cell: &Cell) -> (String, Option<String>) {
    let fore = hex(cell.fg);
    let back = hex(cell.bg);
    let dim = |colour: String| if cell.modifier.contains(Modifier::DIM) { "#8a929a".to_owned() } else { colour };
    if cell.modifier.contains(Modifier::REVERSED) {
        (back.unwrap_or_else(|| BACK.to_owned()), Some(dim(fore.unwrap_or_else(|| FORE.to_owned()))))
    } else {
        (dim(fore.unwrap_or_else(|| FORE.to_owned())), back)
    }
}

fn backgrounds(out: &mut String, cells: &[&Cell], row: u16) {
    let mut column = 0;
    while column < cells.len() {
        let back = colours(cells[column]).1;
        let end = (column..cells.len()).find(|at| colours(cells[*at]).1 != back).unwrap_or(cells.len());
        if let Some(back) = back {
            let (x, y) = place(column, row);
            out.push_str(&format!(
                "<rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" fill=\"{back}\"/>\n",
                (end - column) as f32 * CELL.0,
                CELL.1
            ));
        }
        column = end;
    }
}

fn texts(out: &mut String, cells: &[&Cell], row: u16) {
    let style = |cell: &Cell| (colours(cell).0, cell.modifier & (Modifier::BOLD | Modifier::ITALIC | Modifier::UNDERLINED));
    let mut column = 0;
    while column < cells.len() {
        let own = style(cells[column]);
        let mut end = column;
        let mut piece = String::new();
        while end < cells.len() && style(cells[end]) == own {
            let symbol = cells[end].symbol();
            let wide = symbol.width().max(1);
            // A wide or combined letter is placed alone, so that the columns after it stay where they are.
            if (wide > 1 || !symbol.is_ascii()) && !piece.is_empty() && !is_drawn(symbol) {
                break;
            }
            piece.push_str(symbol);
            end += wide;
            if (wide > 1 || !symbol.is_ascii()) && !is_drawn(symbol) {
                break;
            }
        }
        let underlined = own.1.contains(Modifier::UNDERLINED);
        let shown = if underlined { piece.as_str() } else { piece.trim_end() };
        if !shown.trim().is_empty() || (underlined && !shown.is_empty()) {
            // Blanks at the beginning are not drawn by every viewer: the text begins after them.
            let blanks = if underlined { 0 } else { shown.len() - shown.trim_start().len() };
            let shown = &shown[blanks..];
            let (x, y) = place(column + blanks, row);
            let mut class = String::new();
            for (modifier, name) in [(Modifier::BOLD, "b"), (Modifier::ITALIC, "i"), (Modifier::UNDERLINED, "u")] {
                if own.1.contains(modifier) {
                    class.push_str(if class.is_empty() { "" } else { " " });
                    class.push_str(name);
                }
            }
            let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
            let length = shown.width() as f32 * CELL.0;
            let shown = escape(shown).replace(' ', "\u{a0}");
            out.push_str(&format!("<text x=\"{x}\" y=\"{}\" fill=\"{}\" textLength=\"{length}\"{class}>{shown}</text>\n", y + 14.0, own.0));
        }
        column = end.max(column + 1);
    }
}

/// Lines, bars and marks are as wide as any letter of the font.
fn is_drawn(symbol: &str) -> bool {
    symbol.chars().all(|letter| matches!(letter, '\u{2190}'..='\u{27bf}' | '…' | '·' | '•' | '–' | '›' | '‹'))
}

fn place(column: usize, row: u16) -> (f32, f32) {
    (column as f32 * CELL.0 + MARGIN, f32::from(row) * CELL.1 + MARGIN)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn hex(color: Color) -> Option<String> {
    let named = |text: &str| Some(text.to_owned());
    match color {
        Color::Reset => None,
        Color::Black => named("#14181d"),
        Color::Red => named("#f47067"),
        Color::Green => named("#6cc070"),
        Color::Yellow => named("#e0b95b"),
        Color::Blue => named("#6ca4f8"),
        Color::Magenta => named("#d08fe8"),
        Color::Cyan => named("#56c8d8"),
        Color::Gray => named("#b7bec5"),
        Color::DarkGray => named("#7d868f"),
        Color::LightRed => named("#ff9790"),
        Color::LightGreen => named("#8ee096"),
        Color::LightYellow => named("#f5d67e"),
        Color::LightBlue => named("#8fbcff"),
        Color::LightMagenta => named("#e3b0f5"),
        Color::LightCyan => named("#7fe2ef"),
        Color::White => named("#ffffff"),
        Color::Rgb(red, green, blue) => Some(format!("#{red:02x}{green:02x}{blue:02x}")),
        Color::Indexed(index @ 232..) => {
            let grey = 8 + (u32::from(index) - 232) * 10;
            Some(format!("#{grey:02x}{grey:02x}{grey:02x}"))
        }
        Color::Indexed(index @ 16..) => {
            let index = u32::from(index) - 16;
            let part = |value: u32| if value == 0 { 0 } else { 55 + value * 40 };
            Some(format!("#{:02x}{:02x}{:02x}", part(index / 36), part(index / 6 % 6), part(index % 6)))
        }
        Color::Indexed(index) => hex(super::theme::BASIC[usize::from(index)]),
    }
}
