//! Names and small random choices, all drawn from one seed, so that a run can be repeated byte for byte.
//!
//! It refuses to know what the names are for, and it never asks the system for randomness.

const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// As long as the live service's ids are behind their prefix.
const ID_LENGTH: usize = 21;

/// The increment of splitmix64 (Steele, Lea, Flood 2014): 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The names of one connection.
pub(super) struct Ids {
    state: u64,
}

impl Ids {
    /// The same seed and connection number give the same names in the same order.
    pub(super) fn new(seed: u64, connection: u64) -> Self {
        Self { state: mix(seed).wrapping_add(mix(connection.wrapping_add(GOLDEN))) }
    }

    /// A new name, such as `item_` and 21 letters and digits.
    pub(super) fn fresh(&mut self, prefix: &str) -> String {
        let mut id = String::with_capacity(prefix.len() + ID_LENGTH);
        id.push_str(prefix);
        for _ in 0..ID_LENGTH {
            id.push(char::from(*self.pick(ALPHABET)));
        }
        id
    }

    /// One of the choices.
    ///
    /// # Panics
    /// When there is none: the choices are tables of this module, never a peer's.
    pub(super) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let count = choices.len() as u64;
        let index = usize::try_from(self.draw() % count).unwrap_or_default();
        &choices[index]
    }

    /// The next 64 bits of splitmix64.
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }
}

/// The output function of splitmix64.
fn mix(state: u64) -> u64 {
    let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::Ids;

    #[test]
    fn the_same_seed_and_connection_give_the_same_names() {
        let names = |seed, connection| {
            let mut ids = Ids::new(seed, connection);
            [ids.fresh("event_"), ids.fresh("item_")]
        };
        assert_eq!(names(7, 1), names(7, 1));
        assert_ne!(names(7, 1), names(7, 2));
        assert_ne!(names(7, 1), names(8, 1));
    }
}
