//! What a stream of instructions means, written as plainly as possible and with numbers that cannot overflow.

/// The result, or `None` where the stream must be refused.
pub fn follow(base: &[u8], mut stream: &[u8], result_bytes: usize) -> Option<Vec<u8>> {
    let mut result = Vec::new();
    let mut position = 0_i128;
    let mut first = true;
    while !stream.is_empty() {
        let (mix_negative, mix) = number(take(&mut stream, 8)?);
        let (copy_negative, copy) = number(take(&mut stream, 8)?);
        let (seek_negative, seek) = number(take(&mut stream, 8)?);
        if mix_negative || copy_negative || (mix + copy == 0 && !first) {
            return None;
        }
        first = false;
        if result.len() as i128 + mix + copy > result_bytes as i128 || position + mix > base.len() as i128 {
            return None;
        }
        let old = &base[position as usize..(position + mix) as usize];
        let mixed = take(&mut stream, mix as usize)?;
        result.extend(mixed.iter().zip(old).map(|(byte, old)| byte.wrapping_add(*old)));
        result.extend(take(&mut stream, copy as usize)?);
        position += if seek_negative { mix - seek } else { mix + seek };
        if !(0..=base.len() as i128).contains(&position) {
            return None;
        }
    }
    (result.len() == result_bytes).then_some(result)
}

fn take<'a>(stream: &mut &'a [u8], bytes: usize) -> Option<&'a [u8]> {
    let (taken, rest) = stream.split_at_checked(bytes)?;
    *stream = rest;
    Some(taken)
}

/// Whether it is negative, and its magnitude.
fn number(bytes: &[u8]) -> (bool, i128) {
    let magnitude = bytes.iter().rev().fold(0, |number, byte| number << 8 | i128::from(*byte));
    let sign = 1 << 63;
    (magnitude & sign != 0, magnitude & (sign - 1))
}
