"""What an evaluation prints and draws: EC57, ECG5000, training, patients, one beat."""
