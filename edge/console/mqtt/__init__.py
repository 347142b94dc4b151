"""Events and states of the terminal for an MQTT broker."""
