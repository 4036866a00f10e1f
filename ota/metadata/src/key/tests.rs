use super::*;

/// RFC 8032, 7.1, test 1.
const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

fn content(public: &str) -> Value {
    json!({ "keytype": "ed25519", "scheme": "ed25519", "keyval": { "public": public } })
}

#[test]
fn a_key_has_the_id_that_securesystemslib_gives_it() {
    // SSlibKey.from_crypto of this key with securesystemslib 1.6.0.
    let key = Key::ed25519(&from_hex(PUBLIC).unwrap()).unwrap();
    assert_eq!(key.id().as_str(), "74c181c7ad8a0855d4b55e44d2ba87aabdddb196832571f15f92fece332e4916");
    assert_eq!(Key::listed(key.id().as_str(), content(PUBLIC)).unwrap(), key);
}

#[test]
fn what_a_key_says_beside_its_content_does_not_change_its_id() {
    let mut listed = content(PUBLIC);
    listed["x-owner"] = json!("someone");
    assert_eq!(Key::of_content(listed).unwrap().id(), Key::of_content(content(PUBLIC)).unwrap().id());
}

#[test]
fn a_wrong_fingerprint_is_refused() {
    let problem = Key::listed(&"0".repeat(64), content(PUBLIC)).unwrap_err().to_string();
    assert!(problem.starts_with("has the wrong fingerprint: its content has the id "), "{problem}");
}

#[test]
fn two_ids_of_one_key_have_one_identity() {
    let plain = Key::of_content(content(PUBLIC)).unwrap();
    let mut padded = content(PUBLIC);
    padded["keyval"]["note"] = json!("x");
    let padded = Key::of_content(padded).unwrap();
    let upper = Key::of_content(content(&PUBLIC.to_uppercase())).unwrap();
    assert!(plain.id() != padded.id() && plain.id() != upper.id());
    assert_eq!(KeySet { keys: vec![plain, padded, upper], threshold: 1 }.distinct(), 1);
}

#[test]
fn points_that_are_weak_or_written_in_a_second_way_are_refused() {
    let problem = |public: &str| Key::of_content(content(public)).unwrap_err();
    // The neutral element, a point of order 4 and one of order 8.
    assert_eq!(problem("0100000000000000000000000000000000000000000000000000000000000000"), KeyError::Weak);
    assert_eq!(problem("0000000000000000000000000000000000000000000000000000000000000000"), KeyError::Weak);
    assert_eq!(problem("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), KeyError::Weak);
    // y = p + 1, which is 1 again.
    assert_eq!(problem("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"), KeyError::NotAPoint);
    assert_eq!(problem("d75a98"), KeyError::NotAPoint);
    assert_eq!(problem(&"zz".repeat(32)), KeyError::NotAPoint);
    // y = 2 is not on the curve.
    assert_eq!(problem("0200000000000000000000000000000000000000000000000000000000000000"), KeyError::NotAPoint);
}

#[test]
fn a_key_of_another_kind_is_kept_and_counts_for_nothing() {
    let key =
        Key::of_content(json!({ "keytype": "rsa", "scheme": "rsassa-pss-sha256", "keyval": { "public": "PEM" } }))
            .unwrap();
    assert!(!key.is_usable());
    assert!(!key.has_signed(b"", &"00".repeat(64)));
    assert_eq!(KeySet { keys: vec![key], threshold: 1 }.distinct(), 0);
    assert_eq!(Key::of_content(json!({ "keytype": "ed25519" })), Err(KeyError::Form));
}

#[test]
fn hex_is_read_exactly() {
    assert_eq!(from_hex::<2>("0aFf"), Some([10, 255]));
    for wrong in ["0aF", "0aFf0", "0aFf00", "0aFg", "+1+1", ""] {
        assert_eq!(from_hex::<2>(wrong), None, "{wrong}");
    }
    assert_eq!(hex(&[0, 10, 255]), "000aff");
}

#[test]
fn a_signature_with_a_small_order_part_does_not_count_although_the_equation_holds() {
    use ed25519_dalek::Verifier as _;
    // Case 2 of "Taming the many EdDSAs" (Chalkias, Garillot, Nikolaenko 2020): R of small order under a key that is not weak.
    let message: [u8; 32] = from_hex("aebf3f2601a0c8c5d39cc7d8911642f740b78168218da8471772b35f9d35b9ab").unwrap();
    let public = "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43";
    let signature = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa8c4bd45aecaca5b24fb97bc10ac27ac8751a7dfe1baff8b953ec9f5833ca260e";
    let loose = VerifyingKey::from_bytes(&from_hex(public).unwrap()).unwrap();
    assert!(loose.verify(&message, &Signature::from_bytes(&from_hex(signature).unwrap())).is_ok());
    assert!(!Key::of_content(content(public)).unwrap().has_signed(&message, signature));
}

#[test]
fn a_signature_counts_in_its_one_form_only() {
    // RFC 8032, 7.1, test 1: the empty message.
    let signature = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b";
    let key = Key::of_content(content(PUBLIC)).unwrap();
    assert!(key.has_signed(b"", signature));
    assert!(!key.has_signed(b"x", signature));
    for malformed in ["", "e5", &signature[..126], &format!("{signature}00"), &signature.replace('e', "g")] {
        assert!(!key.has_signed(b"", malformed));
    }
    // The same with the order of the group added to S.
    let order: [u8; 32] = from_hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
    let mut bytes: [u8; 64] = from_hex(signature).unwrap();
    let mut carry = 0;
    for (byte, add) in bytes[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
    }
    assert_eq!(carry, 0);
    assert!(!key.has_signed(b"", &hex(&bytes)));
}
