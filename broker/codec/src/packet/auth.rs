//! AUTH (section 3.15): a step of extended authentication. It does not exist in 3.1.1.

use crate::{
    DecodeError, EncodeError, PacketType, ReasonCode, UserProperties,
    property::{Properties, Property},
    reader::Reader,
    writer::{put_frame, put_with_length},
};

/// A step of extended authentication.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Auth<'a> {
    /// Success, continue authentication, or re-authenticate.
    pub reason: ReasonCode,
    /// Name of the method; absent only in the shortest form, which is success and nothing else.
    pub method: Option<&'a str>,
    /// Data of the method.
    pub data: Option<&'a [u8]>,
    /// For people.
    pub reason_string: Option<&'a str>,
    /// User properties.
    pub user_properties: UserProperties<'a>,
}

/// [MQTT-3.15.2-1]
const fn may_carry(reason: ReasonCode) -> bool {
    matches!(reason, ReasonCode::Success | ReasonCode::ContinueAuthentication | ReasonCode::Reauthenticate)
}

impl<'a> Auth<'a> {
    #[inline(never)]
    pub(crate) fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let packet = PacketType::Auth;
        let mut reader = Reader::new(body);
        let mut auth = Self::default();
        // Section 3.15.2.1: success without properties may have a remaining length of 0.
        if reader.is_empty() {
            return Ok(auth);
        }
        let code = reader.byte("authenticate reason code")?;
        let reason = ReasonCode::from_byte(code).filter(|reason| may_carry(*reason));
        auth.reason = reason.ok_or(DecodeError::ReasonCode { packet, code })?;
        let section = reader.property_section()?;
        let mut properties = Properties::new(section);
        while let Some(property) = properties.next()? {
            match property {
                Property::AuthenticationMethod(method) => auth.method = Some(method),
                Property::AuthenticationData(data) => auth.data = Some(data),
                Property::ReasonString(reason) => auth.reason_string = Some(reason),
                Property::User(..) => auth.user_properties = UserProperties::from_section(section),
                other => return Err(other.not_allowed(packet)),
            }
        }
        // Section 3.15.2.2.2: "It is a Protocol Error to omit the Authentication Method."
        if auth.method.is_none() {
            return Err(DecodeError::AuthenticationMethodMissing { packet });
        }
        reader.finish(packet)?;
        Ok(auth)
    }

    /// Appends the packet, as MQTT 5 has it.
    ///
    /// # Errors
    /// A reason code that AUTH does not know, no method (unless it is the shortest form), a string that does not fit.
    /// `out` is then unchanged.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let packet = PacketType::Auth;
        if !may_carry(self.reason) {
            return Err(EncodeError::ReasonCode { packet, reason: self.reason });
        }
        put_frame(out, packet.first_byte(), |out| {
            if *self == Self::default() {
                return Ok(());
            }
            if self.method.is_none() {
                return Err(EncodeError::FieldValue { packet, field: "absence of an authentication method" });
            }
            out.push(self.reason.byte());
            put_with_length(out, |out| {
                let properties = [
                    self.method.map(Property::AuthenticationMethod),
                    self.data.map(Property::AuthenticationData),
                    self.reason_string.map(Property::ReasonString),
                ];
                properties.iter().flatten().try_for_each(|property| property.put(packet, out))?;
                self.user_properties.put(packet, out)
            })
        })
    }
}

#[cfg(test)]
pub(crate) mod generate {
    use proptest::{option, prelude::*};

    use super::*;
    use crate::generate as part;

    pub(crate) fn auth() -> impl Strategy<Value = Auth<'static>> {
        let reason = part::reason(may_carry);
        let parts =
            (reason, part::text(), option::of(part::bytes()), option::of(part::text()), part::user_properties());
        let full = parts.prop_map(|(reason, method, data, reason_string, user_properties)| Auth {
            reason,
            method: Some(method),
            data,
            reason_string,
            user_properties,
        });
        prop_oneof![1 => Just(Auth::default()), 4 => full]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Packet, ProtocolVersion, decode};

    fn refused(version: ProtocolVersion, frame: &[u8]) -> DecodeError {
        decode(version, frame).expect_err("malformed")
    }

    #[test]
    fn a_step_is_read() {
        let frame = [0xF0, 10, 0x18, 8, 0x15, 0, 1, b'm', 0x16, 0, 1, 7];
        let auth =
            Auth { reason: ReasonCode::ContinueAuthentication, method: Some("m"), data: Some(&[7]), ..Auth::default() };
        assert_eq!(decode(ProtocolVersion::V5, &frame), Ok(Packet::Auth(auth)));
        assert_eq!(decode(ProtocolVersion::V5, &[0xF0, 0]), Ok(Packet::Auth(Auth::default())));
    }

    #[test]
    fn three_1_1_has_no_auth() {
        let version = ProtocolVersion::V311;
        let error = refused(version, &[0xF0, 0]);
        assert_eq!(error, DecodeError::NotInVersion { packet: PacketType::Auth, version });
        let refused = crate::encode(version, &Packet::Auth(Auth::default()), &mut Vec::new());
        assert_eq!(refused, Err(EncodeError::NotInVersion { packet: PacketType::Auth }));
    }

    #[test]
    fn codes_method_and_length_are_checked() {
        let packet = PacketType::Auth;
        for code in [0x01, 0x80, 0x8C] {
            assert_eq!(refused(ProtocolVersion::V5, &[0xF0, 2, code, 0]), DecodeError::ReasonCode { packet, code }); // [MQTT-3.15.2-1]
        }
        assert_eq!(
            refused(ProtocolVersion::V5, &[0xF0, 2, 0x18, 0]),
            DecodeError::AuthenticationMethodMissing { packet }
        );
        assert_eq!(refused(ProtocolVersion::V5, &[0xF0, 1, 0x18]), DecodeError::Truncated { field: "property length" });
        let trailing = [0xF0, 6, 0x18, 3, 0x15, 0, 0, 0];
        assert_eq!(refused(ProtocolVersion::V5, &trailing), DecodeError::TrailingBytes { packet });
        let foreign = [0xF0, 5, 0x18, 3, 0x21, 0, 1];
        assert_eq!(refused(ProtocolVersion::V5, &foreign), DecodeError::PropertyNotAllowed { packet, id: 0x21 });
    }

    #[test]
    fn steps_that_a_receiver_refuses_are_not_encoded() {
        let mut out = Vec::new();
        let without_method = Auth { reason: ReasonCode::Reauthenticate, ..Auth::default() };
        assert!(matches!(without_method.encode(&mut out), Err(EncodeError::FieldValue { .. })));
        let wrong = Auth { reason: ReasonCode::Banned, ..Auth::default() };
        assert!(matches!(wrong.encode(&mut out), Err(EncodeError::ReasonCode { .. })));
        assert!(out.is_empty());
    }
}
