"""Coding agents as language models: any command line that edits files in a working copy."""

from bilevel.agents.model import AgentLimits, AgentModel
from bilevel.agents.presets import PRESETS, Agent, Preset, agent, find_program, located, name_of, variables
from bilevel.agents.taking import Rules

__all__ = [
    "PRESETS",
    "Agent",
    "AgentLimits",
    "AgentModel",
    "Preset",
    "Rules",
    "agent",
    "find_program",
    "located",
    "name_of",
    "variables",
]
