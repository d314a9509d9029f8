//! Mutants of known inputs: bytes, runs of bytes and whole words are changed, and two inputs are
//! spliced. A word is what stands between the punctuation of JSON, HTTP or SSE.

use vertex_bridge::base::Rng;

/// Longer inputs only cost time.
const LENGTH_MAX: usize = 6 << 10;

/// What parsers have stumbled over.
const HARD: [&[u8]; 32] = [
    b"null",
    b"{}",
    b"[]",
    b"\"\"",
    b"-0",
    b"1e400",
    b"18446744073709551616",
    b"0.1e-7",
    b"01",
    b"\"\\ud800\"",
    b"\"\\ud83d\\ude00\"",
    b"\\",
    b"\\u0000",
    b"\0",
    b"\x7f",
    b"\xc3",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xf0\x9f\x98\x80",
    b"\r",
    b"\n",
    b"\r\n\r\n",
    b"data: ",
    b"\n\n",
    b": ",
    b"[[[[[[[[",
    b"{\"a\":{\"a\":{\"a\":",
    b"true",
    b",",
    b"[DONE]",
    b"\"index\":7",
    b"__thought__",
];

/// All words of these inputs, each once.
pub(super) fn words(inputs: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let all = inputs.iter().flat_map(|input| spans(input).into_iter().map(|(f, t)| &input[f..t]));
    let mut words: Vec<Vec<u8>> = all.filter(|word| word.len() < 200).map(<[u8]>::to_vec).collect();
    words.sort();
    words.dedup();
    words.extend(HARD.map(<[u8]>::to_vec));
    words
}

/// One mutant of one of the inputs.
pub(super) fn mutant(inputs: &[Vec<u8>], words: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut input = pick(inputs, rng).clone();
    for _ in 0..=rng.below(4) {
        match rng.below(9) {
            0 => flip(&mut input, rng),
            1 => replace(&mut input, &[], rng),
            2 => {
                let (from, to) = range(&input, rng);
                let copy = input[from..to].to_vec();
                input.splice(to..to, copy);
            }
            3 => {
                let word = pick(words, rng).clone();
                insert(&mut input, &word, rng);
            }
            4 => {
                let other = pick(inputs, rng);
                let (at, from) = (place(&input, rng), place(other, rng));
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            5 => input.truncate(place(&input, rng)),
            6 => swap_words(&mut input, rng),
            _ => {
                let word = pick(words, rng).clone();
                replace_word(&mut input, &word, rng);
            }
        }
    }
    input.truncate(LENGTH_MAX);
    input
}

fn flip(input: &mut [u8], rng: &mut Rng) {
    let at = place(input, rng);
    if let Some(byte) = input.get_mut(at) {
        *byte ^= 1 << rng.below(8);
    }
}

fn insert(input: &mut Vec<u8>, word: &[u8], rng: &mut Rng) {
    let at = place(input, rng);
    input.splice(at..at, word.iter().copied());
}

fn replace(input: &mut Vec<u8>, word: &[u8], rng: &mut Rng) {
    let (from, to) = range(input, rng);
    input.splice(from..to, word.iter().copied());
}

fn replace_word(input: &mut Vec<u8>, word: &[u8], rng: &mut Rng) {
    let spans = spans(input);
    if !spans.is_empty() {
        let (from, to) = *pick(&spans, rng);
        input.splice(from..to, word.iter().copied());
    }
}

fn swap_words(input: &mut Vec<u8>, rng: &mut Rng) {
    let spans = spans(input);
    if spans.len() < 2 {
        return;
    }
    let (one, two) = (*pick(&spans, rng), *pick(&spans, rng));
    let ((from, to), (from_two, to_two)) = if one < two { (one, two) } else { (two, one) };
    let (first, second) = (input[from..to].to_vec(), input[from_two..to_two].to_vec());
    if to <= from_two {
        input.splice(from_two..to_two, first);
        input.splice(from..to, second);
    }
}

/// Where words begin and end: strings with their quotes, runs of letters and digits, and single
/// marks.
fn spans(input: &[u8]) -> Vec<(usize, usize)> {
    let (mut spans, mut at) = (Vec::new(), 0);
    while at < input.len() {
        let from = at;
        at += 1;
        if input[from] == b'"' {
            while at < input.len() && input[at] != b'"' && input[at] != b'\n' {
                at += if input[at] == b'\\' { 2 } else { 1 };
            }
            at = (at + 1).min(input.len());
        } else if is_word(input[from]) {
            while at < input.len() && is_word(input[at]) {
                at += 1;
            }
        } else if input[from] == b' ' {
            continue;
        }
        spans.push((from, at));
    }
    spans
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-+._/".contains(&byte)
}

fn place(input: &[u8], rng: &mut Rng) -> usize {
    usize::try_from(rng.below(u64::try_from(input.len()).expect("a length") + 1)).expect("a place")
}

fn range(input: &[u8], rng: &mut Rng) -> (usize, usize) {
    let from = place(input, rng);
    let length = usize::try_from(rng.below(40)).expect("a length");
    (from, (from + length).min(input.len()))
}

fn pick<'l, T>(list: &'l [T], rng: &mut Rng) -> &'l T {
    let index = rng.below(u64::try_from(list.len()).expect("a length"));
    &list[usize::try_from(index).expect("an index")]
}
