"""Preparing data: lists from annotations, checks, frames, flow and smaller videos.

Each is a pure function of one video. `jobs` runs it over hundreds of thousands of videos, and continues after any
interruption.
"""

from typing import TYPE_CHECKING

from ops.common.lazy import lazy_names

if TYPE_CHECKING:
    from ops.prepare.check_lists import Dataset as Dataset
    from ops.prepare.check_lists import find_problems as find_problems
    from ops.prepare.check_lists import open_dataset as open_dataset
    from ops.prepare.check_lists import rules_of as rules_of
    from ops.prepare.check_report import clean_lists as clean_lists
    from ops.prepare.check_report import open_findings as open_findings
    from ops.prepare.check_report import summary as summary
    from ops.prepare.check_report import write_clean_lists as write_clean_lists
    from ops.prepare.check_report import write_report as write_report
    from ops.prepare.check_rules import ERROR as ERROR
    from ops.prepare.dataset_lists import Data as Data
    from ops.prepare.dataset_lists import make_dataset_lists as make_dataset_lists
    from ops.prepare.extract_frames import FrameOptions as FrameOptions
    from ops.prepare.extract_frames import extract_video as extract_video
    from ops.prepare.folder_lists import Division as Division
    from ops.prepare.folder_lists import make_folder_lists as make_folder_lists
    from ops.prepare.image_folders import ImageJob as ImageJob
    from ops.prepare.jobs import Job as Job
    from ops.prepare.kinetics_lists import make_kinetics_lists as make_kinetics_lists
    from ops.prepare.list_entries import Entries as Entries
    from ops.prepare.optical_flow import FlowOptions as FlowOptions
    from ops.prepare.optical_flow import extract_flow as extract_flow
    from ops.prepare.output_paths import image_folder as image_folder
    from ops.prepare.output_paths import locate_frame_folders as locate_frame_folders
    from ops.prepare.output_paths import locate_videos as locate_videos
    from ops.prepare.ownership import WrittenFiles as WrittenFiles
    from ops.prepare.resize_job import ResizeJob as ResizeJob
    from ops.prepare.resize_video import ResizeOptions as ResizeOptions
    from ops.prepare.source_files import Source as Source
    from ops.prepare.write_index import write_indexes as write_indexes

__getattr__ = lazy_names(
    __name__,
    {
        "Dataset": "check_lists",
        "find_problems": "check_lists",
        "open_dataset": "check_lists",
        "rules_of": "check_lists",
        "clean_lists": "check_report",
        "open_findings": "check_report",
        "summary": "check_report",
        "write_clean_lists": "check_report",
        "write_report": "check_report",
        "ERROR": "check_rules",
        "Data": "dataset_lists",
        "make_dataset_lists": "dataset_lists",
        "FrameOptions": "extract_frames",
        "extract_video": "extract_frames",
        "Division": "folder_lists",
        "make_folder_lists": "folder_lists",
        "ImageJob": "image_folders",
        "Job": "jobs",
        "make_kinetics_lists": "kinetics_lists",
        "Entries": "list_entries",
        "FlowOptions": "optical_flow",
        "extract_flow": "optical_flow",
        "image_folder": "output_paths",
        "locate_frame_folders": "output_paths",
        "locate_videos": "output_paths",
        "WrittenFiles": "ownership",
        "ResizeJob": "resize_job",
        "ResizeOptions": "resize_video",
        "Source": "source_files",
        "write_indexes": "write_index",
    },
)
