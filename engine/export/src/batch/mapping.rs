//! Maps the buffers of an emitted batch to those of the input.

use bytes::Bytes;

/// The place of a buffer: a buffer number of the engine, and an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) buffer: u32,
    pub(super) offset: u32,
}

/// The buffers of a batch: those of the input first, then its own.
pub(super) struct Mapping {
    /// The place of each buffer; `None` if each has its own number, as in a derived batch.
    pub(super) places: Option<Vec<Place>>,
    /// The buffers that are not of the input.
    pub(super) own: Vec<Bytes>,
}

impl Mapping {
    pub(super) fn new(given: &[Bytes], buffers: &[Bytes]) -> Self {
        let shared = buffers.iter().zip(given).take_while(|(one, other)| is_same(one, other)).count();
        let mut own = Vec::new();
        let mut places: Vec<Place> = (0..shared as u32).map(|buffer| Place { buffer, offset: 0 }).collect();
        // If not all buffers of the input are shared, the following buffers have other numbers.
        let mut moved = shared < given.len().min(buffers.len());
        let mut by_address = None;
        for buffer in &buffers[shared..] {
            let by_address = by_address.get_or_insert_with(|| sorted(given));
            let place = within(buffer, given, by_address);
            moved |= place.is_some();
            places.push(place.unwrap_or_else(|| {
                own.push(buffer.clone());
                Place { buffer: (given.len() + own.len() - 1) as u32, offset: 0 }
            }));
        }
        Self { places: moved.then_some(places), own }
    }
}

/// The numbers of the buffers, sorted by address.
fn sorted(given: &[Bytes]) -> Vec<u32> {
    let mut numbers: Vec<u32> = (0..given.len() as u32).collect();
    numbers.sort_unstable_by_key(|number| given[*number as usize].as_ptr().addr());
    numbers
}

/// The buffer of `given` that contains `buffer`. While both are alive, equal addresses are the same bytes.
fn within(buffer: &Bytes, given: &[Bytes], by_address: &[u32]) -> Option<Place> {
    let start = buffer.as_ptr().addr();
    let after = by_address.partition_point(|number| given[*number as usize].as_ptr().addr() <= start);
    let number = *by_address.get(after.checked_sub(1)?)?;
    let whole = &given[number as usize];
    let offset = start - whole.as_ptr().addr();
    // A view has 32-bit offsets.
    let end = whole.len().min(u32::MAX as usize);
    let fits = !buffer.is_empty() && offset + buffer.len() <= end;
    fits.then_some(Place { buffer: number, offset: offset as u32 })
}

fn is_same(one: &Bytes, other: &Bytes) -> bool {
    one.as_ptr().addr() == other.as_ptr().addr() && one.len() == other.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(given: &[Bytes], buffers: &[Bytes]) -> (Option<Vec<(u32, u32)>>, usize) {
        let Mapping { places, own } = Mapping::new(given, buffers);
        let pairs = |places: Vec<Place>| places.iter().map(|place| (place.buffer, place.offset)).collect();
        (places.map(pairs), own.len())
    }

    #[test]
    fn buffers_are_found_wherever_they_stand() {
        let [a, b, c] = ["aaaa", "bbbb", "cccc"].map(|text| Bytes::from(text.to_owned()));
        let given = [a.clone(), b.clone()];
        assert_eq!(mapped(&given, &[a.clone(), b.clone(), c.clone()]), (None, 1));
        assert_eq!(mapped(&given, &[]), (None, 0));
        assert_eq!(mapped(&given, std::slice::from_ref(&c)), (Some(vec![(2, 0)]), 1));
        assert_eq!(mapped(&given, &[a.clone(), c.clone()]), (Some(vec![(0, 0), (2, 0)]), 1));
        assert_eq!(mapped(&given, &[b.clone(), a.clone()]), (Some(vec![(1, 0), (0, 0)]), 0));
        assert_eq!(
            mapped(&given, &[a, b.clone(), c, b.slice(1..3)]),
            (Some(vec![(0, 0), (1, 0), (2, 0), (1, 1)]), 1)
        );
        assert_eq!(mapped(&given, &[Bytes::new()]), (Some(vec![(2, 0)]), 1));
    }
}
