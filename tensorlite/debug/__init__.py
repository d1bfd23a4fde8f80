"""Looking into the tape and at the operations: graphs, paths of the chain rule, missing gradients, NaNs, costs."""
from tensorlite.debug._graph import Graph, GraphNode, graph
from tensorlite.debug._trace import Explanation, Path, TraceRow, TraceTable, explain, trace_table
from tensorlite.debug._watch import AnomalyError, Profile, detect_anomaly, profile
from tensorlite.debug._why import why_none

__all__ = ["AnomalyError", "Explanation", "Graph", "GraphNode", "Path", "Profile", "TraceRow", "TraceTable", "detect_anomaly",
           "explain", "graph", "profile", "trace_table", "why_none"]
