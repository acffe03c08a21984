"""TensorFlow and TFLite: `tf`, `keras` and `litert` load them without their chatter; `graph` reads
and edits .tflite files.
"""
