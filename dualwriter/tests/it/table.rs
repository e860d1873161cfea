//! The documented table of modes is the one in the code.

#[test]
fn the_documented_table_is_the_one_in_the_code() {
    let documented = include_str!("../../../docs/dual-writer.md");
    let is_row = |line: &&str| line.starts_with('|');
    let table: Vec<&str> = documented
        .lines()
        .skip_while(|line| !line.starts_with("| mode | reads |"))
        .take_while(is_row)
        .collect();
    let printed = dualwriter::policy_table();
    assert_eq!(table.join("\n"), printed.trim_end(), "\n{printed}");
}
