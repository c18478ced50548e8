use super::*;

struct Bench {
    scratch: tempfile::TempDir,
    paths: Paths,
}

impl Bench {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let paths = Paths::open(Some(&scratch.path().join("state"))).unwrap();
        Self { scratch, paths }
    }

    fn folder(&self, name: &str, files: &[&str]) -> PathBuf {
        let folder = self.scratch.path().join(name);
        for file in files {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, *file).unwrap();
        }
        folder
    }

    fn repository(&self, name: &str, files: &[&str]) -> (PathBuf, String) {
        let folder = self.folder(name, files);
        adopt("kit", &folder).unwrap();
        let commit = head(&folder).unwrap();
        (folder, commit)
    }

    fn fetch(&self, source: &Source, over: &SourceOverride) -> Result<Fetched, String> {
        fetch("kit", source, over, &self.paths, &mut |_| {}).map_err(|error| error.to_string())
    }
}

fn source(git: &Path, commit: &str) -> Source {
    Source {
        git: git.display().to_string(),
        commit: commit.into(),
        checkout: String::new(),
        markers: vec!["a/main.tf".into()],
        refuse: vec![crate::install::profile::Refusal { path: "old".into(), message: "this is the older layout".into() }],
        exclude: vec![],
    }
}

fn path(folder: &Path) -> SourceOverride {
    SourceOverride { path: Some(folder.display().to_string()), ..SourceOverride::default() }
}

#[test]
fn the_pinned_commit_is_fetched_once() {
    let bench = Bench::new();
    let (repository, commit) = bench.repository("kit", &["a/main.tf"]);
    let source = source(&repository, &commit);
    let fetched = bench.fetch(&source, &SourceOverride::default()).unwrap();
    assert_eq!((fetched.commit.as_str(), fetched.warning), (commit.as_str(), None));
    assert!(fetched.path.ends_with(format!("sources/kit@{commit}")) && fetched.path.join("a/main.tf").is_file());
    fs::remove_dir_all(repository).unwrap();
    assert_eq!(bench.fetch(&source, &SourceOverride::default()).unwrap().path, fetched.path);
}

#[test]
fn a_missing_commit_or_address_says_what_to_do() {
    let bench = Bench::new();
    let (repository, _) = bench.repository("kit", &["a/main.tf"]);
    let pinned = "0123456789012345678901234567890123456789";
    let error = bench.fetch(&source(&repository, pinned), &SourceOverride::default()).unwrap_err();
    assert!(error.contains(pinned), "{error}");
    let error = bench.fetch(&source(&bench.scratch.path().join("none"), pinned), &SourceOverride::default()).unwrap_err();
    assert!(error.contains("--source kit=PATH"), "{error}");
    // Nothing half-fetched is left.
    assert_eq!(fs::read_dir(bench.paths.root().join("sources")).unwrap().count(), 0);
}

#[test]
fn a_place_of_ones_own_is_another_commit_with_a_warning() {
    let bench = Bench::new();
    let pinned = source(Path::new("/nowhere"), "0123456789012345678901234567890123456789");
    let (repository, commit) = bench.repository("clone", &["a/main.tf"]);
    let fetched = bench.fetch(&pinned, &path(&repository)).unwrap();
    assert_eq!(fetched.commit, commit);
    assert!(fetched.warning.unwrap().contains("tested with 0123"));
    // A plain folder is copied and becomes something that can be checked out; a later change is fetched again.
    let plain = bench.folder("plain", &["a/main.tf"]);
    let first = bench.fetch(&pinned, &path(&plain)).unwrap();
    fs::write(plain.join("b"), "new").unwrap();
    let second = bench.fetch(&pinned, &path(&plain)).unwrap();
    assert_eq!(first.path, second.path);
    assert!(second.path.join("b").is_file() && head(&second.path).is_some());
    let bundle = bench.scratch.path().join("kit.bundle");
    git(&repository, &["bundle", "create", &bundle.display().to_string(), "--all"]).unwrap();
    assert_eq!(bench.fetch(&pinned, &path(&bundle)).unwrap().commit, commit);
}

#[test]
fn another_layout_is_refused() {
    let bench = Bench::new();
    for (files, wanted) in [(&["a/main.tf", "old/x"][..], "older layout"), (&["b"], "no a/main.tf")] {
        let (repository, commit) = bench.repository(wanted, files);
        let error = bench.fetch(&source(&repository, &commit), &SourceOverride::default()).unwrap_err();
        assert!(error.contains(wanted), "{error}");
    }
}
