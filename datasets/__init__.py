"""From files to clips. One subject per file:

catalogue      known data sets, and where their files are
lists          list files -> records; class_names: their files and spellings
sampling       which frames a clip takes (pure functions)
readers        what a record is, and its reader; missing: what is there instead
frames         frame folder or archive -> images; decoders: content of an image file -> pixels
video          video file: opened, decoded; container_length: how long the file must be
video_packets  what its packets tell without decoding
video_file     video file -> images of given numbers
transforms     images -> uint8 clip, one random draw a clip
labels         labels of mirrored clips, from class names
video_dataset  records -> clips, for training and validation
view_dataset   records -> all test views of a video
loader         clips -> batches, in worker processes; shared_memory: where they lie
clip_pictures  clips -> contact sheet and animation; mixed_pictures: mixed clips and their masks
moving_digits  the built-in data set; motions: how its things move; drifting: with a controlled displacement
preparing/     from downloads to lists, and a check of them
"""
