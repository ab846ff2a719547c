"""Named alarms: pure steps from beats, leads and pulse waves; a file a group of kinds."""
