"""From downloads to a data set that can be trained on, and a check of it. One subject per file:

annotations/     official annotation files -> class names and clips
media            clips -> where their videos or frames are
inspection       one video: names, number of frames, what is wrong
class_folders    own class folders -> clips; clip_table: a CSV file -> clips
folder_split     own clips -> lists, by sources
preparation      clips and media -> records and a report; counting: frames of videos; prepared_folder: to disk
extraction       video file -> frame folder or archive
published        sizes of the published lists
checks           lists against files; rows: a line of a list; check_report: what is made of it
whole_files      files that are written together or not at all; parallel: many files at once
"""
