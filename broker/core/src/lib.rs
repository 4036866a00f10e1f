//! The MQTT protocol as a pure state machine.
