use super::*;

#[test]
fn every_shipped_profile_reads_without_problems() {
    for id in ids() {
        if let Err(error) = load(id) {
            panic!("{error}");
        }
    }
    assert_eq!(list().len(), SHIPPED.len());
}
