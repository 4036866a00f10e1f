//! What a cut takes from a tree, without a mount.

use super::*;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH
}

fn create(tree: &mut Tree, name: &str, bytes: &[u8]) -> Inode {
    let inode = tree.create(ROOT, OsStr::new(name), Kind::File(Content::default()), 0o644, (0, 0)).unwrap();
    tree.write(inode, 0, bytes, now()).unwrap();
    inode
}

#[test]
fn a_new_file_needs_a_sync_of_itself_and_of_its_directory() {
    for (file, directory, expected) in
        [(false, false, None), (true, false, None), (false, true, Some(&b""[..])), (true, true, Some(&b"x"[..]))]
    {
        let mut tree = Tree::default();
        let inode = create(&mut tree, "a", b"x");
        if file {
            tree.content(inode).unwrap().sync();
        }
        if directory {
            tree.sync_directory(ROOT);
        }
        assert_eq!(tree.after_cut(Cut::Drop, 0).file("a"), expected, "{file} {directory}");
    }
}

#[test]
fn a_rename_without_a_directory_sync_is_undone_with_the_file_that_it_replaced() {
    let mut tree = Tree::default();
    for (name, bytes) in [("old", b"1"), ("new", b"2")] {
        let inode = create(&mut tree, name, bytes);
        tree.content(inode).unwrap().sync();
    }
    tree.sync_directory(ROOT);
    tree.rename((ROOT, OsStr::new("new")), (ROOT, OsStr::new("old"))).unwrap();
    assert_eq!(tree.file("old"), Some(&b"2"[..]));
    let left = tree.after_cut(Cut::Drop, 0);
    assert_eq!((left.file("old"), left.file("new")), (Some(&b"1"[..]), Some(&b"2"[..])));
    tree.sync_directory(ROOT);
    let left = tree.after_cut(Cut::Drop, 0);
    assert_eq!((left.file("old"), left.file("new")), (Some(&b"2"[..]), None));
}

#[test]
fn a_mixed_cut_keeps_some_pages_and_the_same_seed_keeps_the_same() {
    let mut tree = Tree::default();
    let inode = create(&mut tree, "a", &vec![1; 64 * PAGE_BYTES]);
    tree.content(inode).unwrap().sync();
    tree.sync_directory(ROOT);
    tree.write(inode, 0, &vec![2; 64 * PAGE_BYTES], now()).unwrap();
    let left = |seed| tree.after_cut(Cut::Mix, seed).file("a").unwrap().to_vec();
    let kept = |seed| left(seed).iter().step_by(PAGE_BYTES).filter(|byte| **byte == 2).count();
    assert_eq!(left(3), left(3));
    assert_ne!(left(3), left(4));
    assert!((0..8).all(|seed| (1..64).contains(&kept(seed))), "{:?}", (0..8).map(kept).collect::<Vec<_>>());
}

#[test]
fn space_is_given_back_and_running_out_of_it_is_said() {
    let mut tree = Tree { capacity_bytes: 3 * PAGE_BYTES as u64, ..Tree::default() };
    let inode = create(&mut tree, "a", &[1; PAGE_BYTES]);
    assert_eq!(tree.write(inode, 0, &[1; 4 * PAGE_BYTES], now()), Err(Errno::NOSPC));
    tree.resize(inode, 3 * PAGE_BYTES, now()).unwrap();
    assert_eq!(tree.used_bytes(), 3 * PAGE_BYTES as u64);
    tree.unlink(ROOT, OsStr::new("a")).unwrap();
    assert_eq!(tree.used_bytes(), 0);
    assert!(tree.nodes.contains_key(&ROOT));
}

#[test]
fn a_removed_file_is_kept_only_while_a_cut_may_bring_it_back() {
    let mut tree = Tree::default();
    create(&mut tree, "a", b"x");
    tree.sync_directory(ROOT);
    tree.unlink(ROOT, OsStr::new("a")).unwrap();
    assert_eq!(tree.after_cut(Cut::Drop, 0).file("a"), Some(&b""[..]));
    assert_eq!(tree.nodes.len(), 2);
    tree.sync_directory(ROOT);
    assert_eq!(tree.nodes.len(), 1);
}
