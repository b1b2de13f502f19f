//! Several inputs of a map side by side.

/// Tuples of the next elements of several iterables, until the shortest is at its end; see [`zip`].
#[derive(Clone, Debug)]
pub struct Zip<T>(T);

/// Iterables that can be walked side by side: tuples of one to eight.
pub trait Iterables {
    /// Their iterators.
    type Iterators;

    /// Begins the walk.
    fn iterators(self) -> Self::Iterators;
}

/// Walks several iterables side by side, up to the end of the shortest, for a map of a function of several parameters:
///
/// ```
/// let arguments: Vec<(i32, &str)> = scaler_client::zip((1.., ["a", "b"])).collect();
/// assert_eq!(arguments, [(1, "a"), (2, "b")]);
/// ```
pub fn zip<T: Iterables>(iterables: T) -> Zip<T::Iterators> {
    Zip(iterables.iterators())
}

macro_rules! tuples {
    ($($name:ident $place:tt),+) => {
        impl<$($name: IntoIterator),+> Iterables for ($($name,)+) {
            type Iterators = ($($name::IntoIter,)+);

            fn iterators(self) -> Self::Iterators {
                ($(self.$place.into_iter(),)+)
            }
        }

        impl<$($name: Iterator),+> Iterator for Zip<($($name,)+)> {
            type Item = ($($name::Item,)+);

            fn next(&mut self) -> Option<Self::Item> {
                Some(($(self.0.$place.next()?,)+))
            }
        }
    };
}

tuples!(A 0);
tuples!(A 0, B 1);
tuples!(A 0, B 1, C 2);
tuples!(A 0, B 1, C 2, D 3);
tuples!(A 0, B 1, C 2, D 3, E 4);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_ends_the_walk() {
        let walk = zip((vec![1, 2, 3], "ab".chars(), [true, false, true]));
        assert_eq!(walk.collect::<Vec<_>>(), [(1, 'a', true), (2, 'b', false)]);
        assert_eq!(zip(([7],)).collect::<Vec<_>>(), [(7,)]);
        assert_eq!(zip((0..5, 0..0)).count(), 0);
    }
}
