"""`echo-prep synth`: a synthetic data set in EchoNet-Dynamic's own format.

A study is drawn at random (`study`), its ventricle and chambers are given
shapes at end-diastole and end-systole (`anatomy`), a heart rate moves them
(`motion`), tissue is painted (`tissue`), an ultrasound scanner forms the
images in polar coordinates (`scan`), an annotator traces two frames
(`tracing`), and all of it is written as the data set is (`archive`). `quirks`
then adds what real archives hold.
"""
