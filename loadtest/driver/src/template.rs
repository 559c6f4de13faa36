//! Fills in the configurations of the proxies: words between `@`, and lines that end in `# if <condition>` or
//! `# unless <condition>`.

/// Fills in words, and leaves out the lines whose condition does not hold. A condition that is not known is a mistake in
/// the template, and fails at once.
pub fn fill_in(template: &str, words: &[(&str, String)], conditions: &[(&str, bool)]) -> String {
    let holds = |name: &str| {
        let condition = conditions.iter().find(|(known, _)| *known == name.trim());
        condition.unwrap_or_else(|| panic!("the template names the condition {name:?}")).1
    };
    let mut filled = String::with_capacity(template.len());
    for line in template.lines() {
        let line = match (line.split_once("# if "), line.split_once("# unless ")) {
            (Some((line, name)), _) if holds(name) => line,
            (_, Some((line, name))) if !holds(name) => line,
            (None, None) => line,
            _ => continue,
        };
        filled.push_str(line.trim_end());
        filled.push('\n');
    }
    for (word, value) in words {
        filled = filled.replace(&format!("@{word}@"), value);
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_whose_condition_does_not_hold_are_left_out() {
        let template = "a @A@\nb # if x\nc # unless x\nd # if y\ne # unless y\n";
        let filled = fill_in(template, &[("A", "1".to_owned())], &[("x", true), ("y", false)]);
        assert_eq!(filled, "a 1\nb\ne\n");
    }
}
