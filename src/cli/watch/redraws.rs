//! When the screen is drawn: soon after a change, at most ten times a second, and once a second because ages change.

use std::time::Duration;

/// The shortest time between two pictures. A person sees no more than ten pictures of text a second.
const SHORTEST: Duration = Duration::from_millis(100);
/// The longest time between two pictures. An age counts seconds.
const LONGEST: Duration = Duration::from_secs(1);

/// The times of the pictures. Times count from any fixed moment.
#[derive(Debug, Default)]
pub(super) struct Redraws {
    drawn_at: Option<Duration>,
    is_changed: bool,
    is_resized: bool,
}

impl Redraws {
    /// The picture is out of date.
    pub(super) fn handle_change(&mut self) {
        self.is_changed = true;
    }

    /// The terminal has another size, and its picture is broken.
    pub(super) fn handle_resize(&mut self) {
        self.is_resized = true;
    }

    /// A picture with the state of `now` was drawn.
    pub(super) fn handle_drawn(&mut self, now: Duration) {
        *self = Self { drawn_at: Some(now), ..Self::default() };
    }

    /// When the next picture is due. A time in the past means now.
    pub(super) fn due(&self) -> Duration {
        match self.drawn_at {
            Some(drawn) if !self.is_resized => drawn + if self.is_changed { SHORTEST } else { LONGEST },
            Some(_) | None => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Redraws;

    /// The times of the pictures until `end`, if changes come at `changes` and resizes at `resizes`, in milliseconds.
    fn pictures(changes: &[u64], resizes: &[u64], end: u64) -> Vec<u64> {
        let mut redraws = Redraws::default();
        let mut drawn = Vec::new();
        for ms in 0..=end {
            let now = Duration::from_millis(ms);
            changes.iter().filter(|at| **at == ms).for_each(|_| redraws.handle_change());
            resizes.iter().filter(|at| **at == ms).for_each(|_| redraws.handle_resize());
            if redraws.due() <= now {
                redraws.handle_drawn(now);
                drawn.push(ms);
            }
        }
        drawn
    }

    #[test]
    fn the_screen_is_drawn_at_most_ten_times_a_second_and_shows_the_last_change() {
        let changes: Vec<u64> = (0..1000).collect();
        assert_eq!(pictures(&changes, &[], 1050), [0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000]);
        assert_eq!(pictures(&[150, 160, 170], &[], 1000), [0, 150, 250]);
    }

    #[test]
    fn the_screen_is_drawn_once_a_second_for_the_ages() {
        assert_eq!(pictures(&[], &[], 3500), [0, 1000, 2000, 3000]);
    }

    #[test]
    fn a_resize_is_drawn_at_once() {
        assert_eq!(pictures(&[20], &[30, 40], 500), [0, 30, 40]);
    }
}
