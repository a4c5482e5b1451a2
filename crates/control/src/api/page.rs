//! Lists in pages, so that no answer outgrows the limit of a message however large the mesh is.
//!
//! A page is named by the last key of the page before. So a list that changes between two pages never skips or repeats what stayed.

/// Most items of one page.
pub(crate) const PAGE_MAX: usize = 1_000;

/// One page of items that come ordered by their key, and the token of the next page, empty on the last.
pub(crate) fn page<T>(items: impl Iterator<Item = T>, key: impl Fn(&T) -> &str, size: u32, token: &str) -> (Vec<T>, String) {
    let size = match usize::try_from(size) {
        Ok(size @ 1..=PAGE_MAX) => size,
        _ => PAGE_MAX,
    };
    let mut rest = items.filter(|item| key(item) > token);
    let page: Vec<T> = rest.by_ref().take(size).collect();
    let more = rest.next().is_some();
    let next = page.last().filter(|_| more).map(|last| key(last).to_owned()).unwrap_or_default();
    (page, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_together_are_the_list() {
        let names = ["a", "b", "c", "d", "e"];
        for size in 1..=6 {
            let (mut all, mut token) = (Vec::new(), String::new());
            loop {
                let (part, next) = page(names.iter(), |name| name, size, &token);
                assert!(part.len() <= size as usize);
                all.extend(part.into_iter().copied());
                token = next;
                if token.is_empty() {
                    break;
                }
            }
            assert_eq!(all, names, "pages of {size}");
        }
    }

    #[test]
    fn the_limit_holds_whatever_is_asked_for() {
        let names: Vec<String> = (0..PAGE_MAX + 5).map(|n| format!("{n:05}")).collect();
        for size in [0, u32::MAX] {
            let (part, next) = page(names.iter(), |name| name, size, "");
            assert_eq!((part.len(), next), (PAGE_MAX, names[PAGE_MAX - 1].clone()));
        }
    }

    #[test]
    fn what_was_removed_between_two_pages_hides_nothing_else() {
        let (_, token) = page(["a", "b", "c"].iter(), |name| name, 2, "");
        assert_eq!(token, "b");
        assert_eq!(page(["a", "c"].iter(), |name| name, 2, &token).0, [&"c"]);
    }
}
