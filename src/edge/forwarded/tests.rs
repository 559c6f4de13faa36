//! What the hops of a request are, whatever the headers hold.

use proptest::prelude::any;

use super::*;

/// The hops of these header lines, last one first; `-` for one that tells no address.
fn hops_of_lines(lines: &[(&'static str, &str)]) -> Vec<String> {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    hops(&headers).map(|hop| hop.map_or("-".to_owned(), |address| address.to_string())).collect()
}

fn x(value: &str) -> Vec<String> {
    hops_of_lines(&[("x-forwarded-for", value)])
}

fn forwarded(value: &str) -> Vec<String> {
    hops_of_lines(&[("forwarded", value)])
}

#[test]
fn the_older_header_lists_addresses() {
    assert_eq!(x("192.0.2.1"), ["192.0.2.1"]);
    assert_eq!(x("192.0.2.1, 2001:db8::1 ,198.51.100.1:4711"), ["198.51.100.1:4711", "2001:db8::1", "192.0.2.1"]);
    assert_eq!(x("[2001:db8::1]:80,[2001:db8::2]"), ["2001:db8::2", "[2001:db8::1]:80"]);
    assert_eq!(x("::ffff:192.0.2.1, [::ffff:192.0.2.1]:80"), ["192.0.2.1:80", "192.0.2.1"]);
    assert_eq!(x(""), ["-"]);
    assert_eq!(x("192.0.2.1, , unknown,_x,192.0.2.300,1.2.3.4:65536"), ["-", "-", "-", "-", "-", "192.0.2.1"]);
    assert_eq!(x("192.0.2.1, ä"), ["-"]);
}

#[test]
fn the_standard_header_lists_elements() {
    assert_eq!(forwarded("for=192.0.2.1"), ["192.0.2.1"]);
    assert_eq!(forwarded("For=192.0.2.1;proto=https;by=203.0.113.1"), ["192.0.2.1"]);
    assert_eq!(forwarded("proto=http; for=\"192.0.2.1:4711\""), ["192.0.2.1:4711"]);
    assert_eq!(
        forwarded(r#"for="[2001:db8::1]:4711", for="[2001:db8::2]" , for=198.51.100.1"#),
        ["198.51.100.1", "2001:db8::2", "[2001:db8::1]:4711"]
    );
    for none in
        ["", "for", "for=", "for=\"\"", "for=unknown", "for=_hidden", "by=192.0.2.1", "for=192.0.2.1;for=192.0.2.2"]
    {
        assert_eq!(forwarded(none), ["-"], "{none}");
    }
}

#[test]
fn all_lines_are_one_list_and_the_older_header_wins() {
    let lines = [("x-forwarded-for", "192.0.2.1, 192.0.2.2"), ("x-forwarded-for", "192.0.2.3")];
    assert_eq!(hops_of_lines(&lines), ["192.0.2.3", "192.0.2.2", "192.0.2.1"]);
    assert_eq!(hops_of_lines(&[("forwarded", "for=192.0.2.1"), ("x-forwarded-for", "?")]), ["-"]);
    assert_eq!(
        hops_of_lines(&[("forwarded", "for=192.0.2.1"), ("forwarded", "for=192.0.2.2")]),
        ["192.0.2.2", "192.0.2.1"]
    );
    assert_eq!(hops_of_lines(&[]), [""; 0]);
}

#[test]
fn what_is_quoted_separates_nothing() {
    assert_eq!(forwarded(r#"for=192.0.2.1;host="a,b;for=192.0.2.9""#), ["192.0.2.1"]);
    assert_eq!(forwarded(r#"for=192.0.2.1;host="a\", for=192.0.2.9;x=\"b""#), ["192.0.2.1"]);
}

proptest::proptest! {
    /// What a client wrote stands before what the proxy has added, in the same line, and changes nothing of it.
    #[test]
    fn nothing_that_stands_before_a_hop_changes_it(before in "[ -~]{0,40}") {
        assert_eq!(x(&format!("{before}, 192.0.2.1"))[0], "192.0.2.1");
        assert_eq!(forwarded(&format!("{before}, for=192.0.2.1"))[0], "192.0.2.1");
        assert_eq!(forwarded(&format!("{before},for=\"[2001:db8::1]:80\";proto=https"))[0], "[2001:db8::1]:80");
    }

    #[test]
    fn no_header_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60), text in "[\"\\\\,;=for:\\[\\]0-9. ]{0,60}") {
        for value in [&bytes[..], text.as_bytes()] {
            let Ok(value) = HeaderValue::from_bytes(value) else { continue };
            for name in [X_FORWARDED_FOR, FORWARDED] {
                // Each separator makes one hop more at most.
                assert!(hops(&HeaderMap::from_iter([(name, value.clone())])).count() <= value.len() + 1);
            }
        }
    }
}
