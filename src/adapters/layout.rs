//! A source's checkout: which commit, which layout, whether its templates have what is set in them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use regex::Regex;

use crate::install::facts::LayoutFacts;
use crate::install::inquiry::{LayoutRequest, TemplateRequest};

use super::tools;

/// The largest template read, bytes.
const SIZE_LIMIT: u64 = 2 * 1024 * 1024;

/// Looks at the working checkout, or at the fetched copy while there is none.
pub async fn look(request: &LayoutRequest, timeout: Duration) -> LayoutFacts {
    let exists = |path: &str| !path.is_empty() && Path::new(path).is_dir();
    let (folder, is_checkout) = if exists(&request.checkout) {
        (&request.checkout, true)
    } else if exists(&request.fetched) {
        (&request.fetched, false)
    } else {
        return LayoutFacts::default();
    };
    let root = Path::new(folder);
    let argv = ["git", "-C", folder, "rev-parse", "--show-toplevel", "HEAD"].map(str::to_owned);
    let git = tools::run(tools::Request { argv: &argv, dir: None, env: &[], input: b"", timeout }).await;
    // A folder inside another repository must not borrow that one's commit.
    let mut lines = git.stdout.lines();
    let top = lines.next().and_then(|line| Path::new(line).canonicalize().ok());
    let own = git.exit == Some(0) && top.is_some() && top == root.canonicalize().ok();
    LayoutFacts {
        folder: Some(folder.clone()),
        is_checkout,
        commit: lines.next().filter(|_| own).map(|line| line.trim().to_owned()),
        missing: request.markers.iter().filter(|marker| !root.join(marker).exists()).cloned().collect(),
        refused: request.refuse.iter().filter(|(path, _)| root.join(path).exists()).map(|(_, message)| message.clone()).collect(),
        incomplete: request.templates.iter().filter_map(|template| lacking(root, template)).collect::<BTreeMap<_, _>>(),
    }
}

fn lacking(root: &Path, template: &TemplateRequest) -> Option<(String, Vec<String>)> {
    let path = root.join(&template.path);
    let readable = std::fs::metadata(&path).is_ok_and(|data| data.is_file() && data.len() <= SIZE_LIMIT);
    let Some(text) = readable.then(|| std::fs::read_to_string(&path).ok()).flatten() else {
        return Some((template.path.clone(), vec!["the whole file".to_owned()]));
    };
    let has = |pattern: String| Regex::new(&pattern).is_ok_and(|pattern| pattern.is_match(&text));
    // `key =`, `key:` or, in inventories, a commented-out `# key=`, which the edit takes for the place to write.
    let keys = template.keys.iter().filter(|key| !has(format!(r#"(?m)^[#;\s]*"?{}"?\s*[:=]"#, regex::escape(key)))).cloned();
    let groups =
        template.groups.iter().filter(|group| !has(format!(r"(?m)^\s*\[{}\]", regex::escape(group)))).map(|group| format!("[{group}]"));
    let lacking: Vec<String> = keys.chain(groups).collect();
    (!lacking.is_empty()).then(|| (template.path.clone(), lacking))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn layouts_and_templates_are_compared() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("ansible")).unwrap();
        std::fs::write(folder.path().join("ansible/all.yml.tmp"), "mosip_domain: x\n[nginx]\nansible_user=u\n").unwrap();
        std::fs::create_dir(folder.path().join("rke1")).unwrap();
        let template = |path: &str, keys: &[&str]| TemplateRequest {
            path: path.into(),
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            groups: vec!["nginx".into()],
        };
        let request = LayoutRequest {
            checkout: folder.path().join("absent").display().to_string(),
            fetched: folder.path().display().to_string(),
            markers: vec!["ansible".into(), "terraform".into()],
            refuse: vec![("rke1".into(), "the older layout".into())],
            templates: vec![template("ansible/all.yml.tmp", &["mosip_domain", "ansible_user", "gone"]), template("no.tmp", &[])],
        };
        let facts = look(&request, Duration::from_secs(20)).await;
        assert_eq!((facts.is_checkout, facts.commit), (false, None));
        assert_eq!((facts.missing, facts.refused), (vec!["terraform".to_owned()], vec!["the older layout".to_owned()]));
        assert_eq!(facts.incomplete["ansible/all.yml.tmp"], ["gone"]);
        assert_eq!(facts.incomplete["no.tmp"], ["the whole file"]);
        assert_eq!(look(&LayoutRequest::default(), Duration::from_secs(1)).await, LayoutFacts::default());
    }
}
