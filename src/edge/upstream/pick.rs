//! In which order the candidates of a route are tried.
//!
//! It refuses to know what a candidate is and whether it can be reached, and has no dice of its own.

/// What decides the place of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Lower ones are tried first, always.
    pub priority: i64,
    /// Its share of the first places among those of its priority. 0: only after all others of its priority.
    pub weight: u32,
}

/// The order in which to try the candidates, as their indices: by priority, and at random by weight within one. Those of
/// weight 0 keep the order they are given in. `random` gives uniform numbers; one candidate alone needs none.
pub fn order(candidates: &[Standing], mut random: impl FnMut() -> u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by_key(|&index| candidates[index].priority);
    let of_one_priority = |a: &usize, b: &usize| candidates[*a].priority == candidates[*b].priority;
    for group in order.chunk_by_mut(of_one_priority) {
        shuffle(group, |index| candidates[index].weight.into(), &mut random);
    }
    order
}

/// A weighted draw without replacement: each place goes to one of those left, by their weights. Quadratic, for a
/// handful of upstreams.
fn shuffle(group: &mut [usize], weight: impl Fn(usize) -> u64, mut random: impl FnMut() -> u64) {
    let mut left: u64 = group.iter().map(|&index| weight(index)).sum();
    for place in 0..group.len().saturating_sub(1) {
        if left == 0 {
            return;
        }
        let mut ticket = below(left, random());
        let drawn = group[place..].iter().position(|&index| match ticket.checked_sub(weight(index)) {
            Some(rest) => {
                ticket = rest;
                false
            }
            None => true,
        });
        let drawn = place + drawn.unwrap_or_default();
        left -= weight(group[drawn]);
        // Not a swap: those not drawn keep their order.
        group[place..=drawn].rotate_right(1);
    }
}

/// A number below `bound` from a uniform `random`. The error is less than `bound` / 2⁶⁴: nobody's share.
fn below(bound: u64, random: u64) -> u64 {
    let product = u128::from(bound) * u128::from(random);
    u64::try_from(product >> u64::BITS).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: u32 = 10_000;

    /// `SplitMix64`: the same numbers in every run.
    fn dice(mut seed: u64) -> impl FnMut() -> u64 {
        move || {
            seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        }
    }

    fn weighing(weights: &[u32]) -> Vec<Standing> {
        weights.iter().map(|&weight| Standing { priority: 0, weight }).collect()
    }

    fn orders(candidates: &[Standing]) -> Vec<Vec<usize>> {
        let mut random = dice(1);
        (0..DRAWS).map(|_| order(candidates, &mut random)).collect()
    }

    #[track_caller]
    fn assert_share(chosen: impl Iterator<Item = bool>, expected: f64) {
        let (mut all, mut of_them) = (0_u32, 0_u32);
        for chosen in chosen {
            all += 1;
            of_them += u32::from(chosen);
        }
        let share = f64::from(of_them) / f64::from(all);
        assert!((share / expected - 1.0).abs() < 0.05, "{share} instead of {expected}");
    }

    #[test]
    fn the_first_place_is_shared_by_weight() {
        for weights in [&[1, 1][..], &[1, 3], &[5, 3, 2], &[u32::MAX, u32::MAX]] {
            let orders = orders(&weighing(weights));
            let all: f64 = weights.iter().copied().map(f64::from).sum();
            for (index, &weight) in weights.iter().enumerate() {
                assert_share(orders.iter().map(|order| order[0] == index), f64::from(weight) / all);
            }
        }
    }

    #[test]
    fn the_second_place_is_shared_by_weight_among_those_left() {
        let orders = orders(&weighing(&[5, 3, 2]));
        let behind_the_first = orders.iter().filter(|order| order[0] == 0);
        assert_share(behind_the_first.map(|order| order[1] == 1), 3.0 / 5.0);
    }

    #[test]
    fn everybody_is_in_the_order_once() {
        for weights in [&[][..], &[1], &[0], &[0, 0, 0], &[5, 3, 2], &[0, 7, 0, 1, 1, u32::MAX]] {
            for mut order in orders(&weighing(weights)) {
                order.sort_unstable();
                assert_eq!(order, (0..weights.len()).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn weight_zero_comes_last_and_in_the_order_given() {
        for order in orders(&weighing(&[0, 2, 0, 1, 0])) {
            assert_eq!(order[2..], [0, 2, 4]);
        }
    }

    #[test]
    fn no_weight_goes_before_a_lower_priority() {
        let standings = [(7, 1000), (-3, 0), (7, 1), (-3, 1), (i64::MAX, u32::MAX), (i64::MIN, 0)];
        let candidates = standings.map(|(priority, weight)| Standing { priority, weight });
        for order in orders(&candidates) {
            assert_eq!(order[..3], [5, 3, 1]);
            assert!(order[3..5] == [0, 2] || order[3..5] == [2, 0], "{order:?}");
            assert_eq!(order[5], 4);
        }
    }

    #[test]
    fn extreme_numbers_draw_the_first_and_the_last() {
        let candidates = weighing(&[1, 1, 1]);
        assert_eq!(order(&candidates, || 0), [0, 1, 2]);
        assert_eq!(order(&candidates, || u64::MAX), [2, 1, 0]);
    }

    #[test]
    fn one_candidate_needs_no_dice() {
        assert_eq!(order(&weighing(&[1]), || panic!("a number was drawn")), [0]);
    }
}
