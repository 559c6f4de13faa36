//! What no peer may send (RFC 6455), each as short as it can be.

use super::frame::{BINARY, CLOSE, Frame, MASK, PING, PONG, TEXT, header};

/// A name and the bytes of each offence, with the mask of a client or without one.
pub fn offences(mask: bool) -> Vec<(String, Vec<u8>)> {
    let key = if mask { &MASK[..] } else { &[] };
    let flag = u8::from(mask) << 7;
    let frame = |frame: Frame| if mask { frame.masked().bytes() } else { frame.bytes() };
    let first_byte = |byte: u8| [&[byte, flag], key].concat();
    let length = |second: u8, length: &[u8]| [&[0x80 | TEXT, flag | second], length, key].concat();
    let mut all = vec![
        ("a fragmented ping".to_owned(), frame(Frame::ping("").more())),
        ("a fragmented pong".to_owned(), frame(Frame::pong("").more())),
        ("a fragmented close".to_owned(), frame(Frame::close(1000, "").more())),
        ("a long ping".to_owned(), [header(true, PING, mask, 126), key.to_vec()].concat()),
        ("a long pong".to_owned(), [header(true, PONG, mask, 126), key.to_vec()].concat()),
        ("a long close".to_owned(), [header(true, CLOSE, mask, 70_000), key.to_vec()].concat()),
        ("a stray continuation".to_owned(), frame(Frame::continuation("x"))),
        ("a stray fragment".to_owned(), frame(Frame::continuation("x").more())),
        ("0 in two bytes".to_owned(), length(126, &0_u16.to_be_bytes())),
        ("125 in two bytes".to_owned(), length(126, &125_u16.to_be_bytes())),
        ("0 in eight bytes".to_owned(), length(127, &0_u64.to_be_bytes())),
        ("65,535 in eight bytes".to_owned(), length(127, &65_535_u64.to_be_bytes())),
        ("a length with the top bit".to_owned(), length(127, &(1_u64 << 63 | 1 << 20).to_be_bytes())),
        ("the longest length".to_owned(), length(127, &u64::MAX.to_be_bytes())),
        ("a close of one byte".to_owned(), frame(Frame::new(CLOSE, [3]))),
    ];
    for bit in [0x40, 0x20, 0x10] {
        all.push((format!("reserved bit {bit:#x}"), first_byte(0x80 | bit | TEXT)));
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        all.push((format!("opcode {opcode}"), first_byte(0x80 | opcode)));
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1999, 2999, 5000, 65_535] {
        all.push((format!("close code {code}"), frame(Frame::close(code, "forged"))));
    }
    // The wrong way about the mask.
    for opcode in [TEXT, BINARY, PING, CLOSE] {
        let wrong = Frame::new(opcode, [3, 232]);
        let wrong = if mask { wrong } else { wrong.masked() };
        all.push((format!("the mask of opcode {opcode}"), wrong.bytes()));
    }
    all
}
