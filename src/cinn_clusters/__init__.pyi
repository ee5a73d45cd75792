from cinn_clusters.catalogues.mapping import read_mapping as read_mapping
from cinn_clusters.catalogues.mapping import read_preset as read_preset
from cinn_clusters.data.catalogue import Catalogue as Catalogue
from cinn_clusters.data.catalogue import read_catalogue as read_catalogue
from cinn_clusters.data.declared import read_schema as read_schema
from cinn_clusters.data.leakage import audit_split as audit_split
from cinn_clusters.data.split import Split as Split
from cinn_clusters.data.split import split_by_cluster as split_by_cluster
from cinn_clusters.errors import CinnError as CinnError
from cinn_clusters.mock.population import mock_catalogue as mock_catalogue
from cinn_clusters.pipeline.inference.answer import InferenceRequest as InferenceRequest
from cinn_clusters.pipeline.inference.answer import answer as answer
from cinn_clusters.pipeline.inference.answering import (
    InferenceOptions as InferenceOptions,
)
from cinn_clusters.pipeline.inference.infer import Inferred as Inferred
from cinn_clusters.pipeline.inference.infer import infer as infer
from cinn_clusters.pipeline.report.draw import draw_figures as draw_figures
from cinn_clusters.pipeline.report.page import report as report
from cinn_clusters.pipeline.scale.engines import PartitionOptions as PartitionOptions
from cinn_clusters.pipeline.scale.infer_partitions import (
    infer_partitions as infer_partitions,
)
from cinn_clusters.pipeline.simulation.baseline import baseline as baseline
from cinn_clusters.pipeline.simulation.compare import compare as compare
from cinn_clusters.pipeline.simulation.crossval import crossval as crossval
from cinn_clusters.pipeline.simulation.diagnose import diagnose as diagnose
from cinn_clusters.pipeline.simulation.evaluate import evaluate as evaluate
from cinn_clusters.pipeline.simulation.mock import write_mock as write_mock
from cinn_clusters.pipeline.simulation.prepare import Preparation as Preparation
from cinn_clusters.pipeline.simulation.prepare import TableFiles as TableFiles
from cinn_clusters.pipeline.simulation.prepare import prepare as prepare
from cinn_clusters.pipeline.simulation.sensitivity import sensitivity as sensitivity
from cinn_clusters.pipeline.simulation.train import train as train
from cinn_clusters.posterior.fit import fit as fit
from cinn_clusters.posterior.mode import joint_mode as joint_mode
from cinn_clusters.posterior.posterior import Posterior as Posterior
from cinn_clusters.posterior.query import Sampling as Sampling
from cinn_clusters.posterior.summary import summarise as summarise
from cinn_clusters.schema import Schema as Schema
from cinn_clusters.settings.config import Config as Config
from cinn_clusters.settings.config import read_config as read_config
from cinn_clusters.storage.model import load_model as load_model
from cinn_clusters.storage.model import load_posterior as load_posterior
from cinn_clusters.storage.model import save_model as save_model
from cinn_clusters.storage.model import save_posterior as save_posterior
from cinn_clusters.storage.onnx.export import export_onnx as export_onnx
from cinn_clusters.storage.run import open_run as open_run
from cinn_clusters.web.explorer import explorer as explorer
from cinn_clusters.web.explorer import write_explorer as write_explorer

__version__: str
