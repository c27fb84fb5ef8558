"""POST /build: a Dockerfile and its context become an image.

`build/` reads the language; here is what does things. A `Build` runs the stages that its target
needs side by side; a stage's steps follow each other, and each stands on a `Stack` of layers. What
a step writes is a `Delta`, whose upper folder becomes the next `Layer` where it is, while it is
packed and compressed beside the steps that follow. `Cache` remembers what each step made.
"""
