"""`echo-prep synth`: a synthetic data set in EchoNet-Dynamic's own format.

A study is drawn at random (`study`, `draw`). Its ventricle gets its shapes at
end-diastole and end-systole (`anatomy`) and the other chambers around it
(`chambers`), a rhythm moves them (`motion`), tissue is painted (`tissue`), an
ultrasound scanner forms images in polar coordinates (`scan`); `movie` joins
these. An annotator traces two frames (`tracing`), and all of it is written as
the data set is (`videos`, `tables`, `archive`). `quirks` adds what real
archives hold beside sound studies.
"""
