//! Numbered places, those that are free used again.

/// Values with a number each.
#[derive(Debug)]
pub(super) struct Places<T> {
    places: Vec<T>,
    free: Vec<u32>,
}

impl<T: Default> Places<T> {
    pub(super) const fn new() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }

    /// Puts a value into a free place; its number.
    pub(super) fn put(&mut self, value: T) -> u32 {
        if let Some(number) = self.free.pop() {
            self.set(number, value);
            return number;
        }
        self.places.push(value);
        u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
    }

    /// The value of this number.
    pub(super) fn get(&mut self, number: u32) -> Option<&mut T> {
        self.places.get_mut(number as usize)
    }

    /// Another value for this number.
    pub(super) fn set(&mut self, number: u32, value: T) {
        if let Some(place) = self.get(number) {
            *place = value;
        }
    }

    /// The value of this number, which somebody may put back.
    pub(super) fn take(&mut self, number: u32) -> Option<T> {
        self.get(number).map(std::mem::take)
    }

    /// The number may be given to another value.
    pub(super) fn free(&mut self, number: u32) {
        self.set(number, T::default());
        self.free.push(number);
    }

    /// Gives the memory of free places back that are behind all others. From then on the lowest
    /// free number is used first, so that there will be more of them.
    pub(super) fn trim(&mut self) {
        self.free.sort_unstable_by(|one, other| other.cmp(one));
        let last = |free: &[u32], length: usize| {
            free.first().is_some_and(|number| *number as usize + 1 == length)
        };
        let mut over = 0;
        while last(self.free.get(over..).unwrap_or_default(), self.places.len()) {
            self.places.pop();
            over += 1;
        }
        self.free.drain(..over);
        self.places.shrink_to_fit();
        self.free.shrink_to_fit();
    }

    /// How many places there are, free ones among them.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Takes everything out.
    pub(super) fn clear(&mut self) -> Vec<T> {
        self.free.clear();
        std::mem::take(&mut self.places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_places_behind_the_last_that_is_used_are_given_back() {
        let mut places = Places::new();
        let numbers: Vec<u32> = (0..1000).map(|value| places.put(value)).collect();
        for number in numbers.iter().filter(|number| ![3, 500].contains(*number)) {
            places.free(*number);
        }
        places.trim();
        assert_eq!(places.len(), 501);
        assert_eq!((places.put(7), places.put(8)), (0, 1));
        assert_eq!((places.get(3).copied(), places.get(500).copied()), (Some(3), Some(500)));
        assert_eq!((places.take(500), places.get(501)), (Some(500), None));
        places.free(500);
        places.trim();
        assert_eq!(places.len(), 4);
        places.clear();
        assert_eq!(places.put(9), 0);
    }
}
