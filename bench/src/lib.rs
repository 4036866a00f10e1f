//! Load generator for MQTT brokers.
