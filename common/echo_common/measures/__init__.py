"""Clinical measures of contours of the left ventricle: volumes, ejection fraction, beats.

The formulas are those of Lang et al., Recommendations for Cardiac Chamber Quantification by
Echocardiography in Adults, 2015 (doi 10.1016/j.echo.2014.10.003), for one apical plane.
For research use only.
"""
