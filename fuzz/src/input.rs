//! Takes the fuzzer's bytes apart: a few that say how the rest is cut, then the rest. It refuses to know what that is.

/// How a stream is delivered and taken, and what else a target lets the fuzzer choose.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// One choice a bit.
    flags: u8,
    /// Sizes, used over and over.
    sizes: Vec<usize>,
}

/// A size that stands for as much as there is.
const ALL: u8 = u8::MAX;

impl Recipe {
    /// The recipe at the front of `input`, and what is behind it: a byte of flags, how many sizes there are (at most
    /// seven), and one byte for each.
    pub fn of(input: &[u8]) -> Option<(Self, &[u8])> {
        let (&[flags, count], rest) = input.split_first_chunk()?;
        let (sizes, rest) = rest.split_at_checked(usize::from(count % 8))?;
        let size = |size: &u8| if *size == ALL { usize::MAX } else { usize::from(*size) };
        Some((Self { flags, sizes: sizes.iter().map(size).collect() }, rest))
    }

    /// A choice.
    pub fn flag(&self, number: u8) -> bool {
        self.flags & (1 << number) != 0
    }

    /// The sizes without end, 0 among them; never two zeros one after the other.
    pub fn sizes(&self) -> impl Iterator<Item = usize> + use<> {
        let own = if self.sizes.is_empty() { vec![usize::MAX] } else { self.sizes.clone() };
        let mut was_zero = false;
        own.into_iter().cycle().map(move |size| {
            let size = if was_zero && size == 0 { 1 } else { size };
            was_zero = size == 0;
            size
        })
    }

    /// `bytes`, cut as the sizes say; no part is empty.
    pub fn cut<'b>(&self, mut bytes: &'b [u8]) -> Vec<&'b [u8]> {
        let (mut sizes, mut parts) = (self.sizes().filter(|size| *size > 0), Vec::new());
        while !bytes.is_empty() {
            let (part, rest) = bytes.split_at(bytes.len().min(sizes.next().unwrap_or(usize::MAX)));
            parts.push(part);
            bytes = rest;
        }
        parts
    }
}
