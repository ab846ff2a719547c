"""Irregular rhythm: fibrillation of the atria makes the RR intervals irregularly irregular. Pure.

Sources
-------
Dash, Chon, Lu, Raeder: Automatic real time detection of atrial fibrillation. Ann Biomed Eng 37
(2009) 1701-1709: normalised RMSSD, turning points and entropy together.
Lake, Moorman: Accurate estimation of entropy in very short physiological time series. Am J Physiol
Heart Circ Physiol 300 (2011) H319-H325: coefficient of sample entropy.
"""
