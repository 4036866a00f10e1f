//! MQTT 3.1.1 and 5 packets: bytes to values and back.
