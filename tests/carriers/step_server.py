"""A model behind HTTP that takes the steps of the workflow and judges: the judge counts "therefore", which the workflow
left alone never writes."""

import json
import re

from article_server import ArticleServer

TEXT = """# Title

The first claim stands here alone, with 12 numbers and [a link](a.md).

The second paragraph says what follows from it for the reader.

The third one stays as it is, whatever happens to the other two, and is here so that a sentence more in each of
those is no great part of the whole; it says the same of itself as of them, and nothing else at all besides.
"""


WAYS = ["plain", "short", "calm", "brisk", "dry", "warm", "sober", "grave", "light", "broad", "narrow", "direct"]


def hypotheses(prompt, body):
    way = next(way for way in WAYS if f"in a {way} way" not in prompt)
    what = "the warrant" if "no warrant" in prompt else "it"
    return {
        "hypotheses": [{"weakness": 1, "change": f"Mend {what} in a {way} way.", "why": "Readers ask for it first."}]
    }


def analysis(prompt, body):
    problem = "There is no warrant for the claim." if "has no warrant" in prompt else "Nothing holds it up very well."
    other = "The main notion stays without any definition."
    return {
        "weaknesses": [
            {"paragraph": 2, "dimension": "rigour", "problem": problem},
            {"paragraph": 3, "dimension": "clarity", "problem": other},
        ]
    }


def plan(prompt, body):
    what, way = re.findall(r"Mend (the warrant|it) in a (\w+) way", prompt)[-1]
    return {
        "edits": [
            {"paragraph": 2, "hypothesis": 1, "instruction": f"After the claim say {what} once more in a {way} way."},
            {"paragraph": 3, "hypothesis": 1, "instruction": f"Bring out the conclusion in a {way} way."},
        ]
    }


def assessment(prompt, body):
    first, second = {"edit": 1, "gain": 6, "risk": 2}, {"edit": 2, "gain": 2, "risk": 5}
    return {"verdicts": [{**one, "reason": "It is what a reader needs here."} for one in (first, second)]}


def revision(prompt, body):
    wanted = re.search(r"Write each of the paragraphs ([\d, ]+) anew", prompt)[1].split(", ")
    shown = dict(re.findall(r"^\[(\d+)\] (.*?)(?=\n\n\[\d+\] |\n`{3,}$)", prompt, re.DOTALL | re.MULTILINE))
    way = re.findall(r"in a (\w+) way", prompt)[-1]
    told = "What the step warrant says" in prompt or "say the warrant" in prompt
    added = {n: "It is therefore so" if told or n == "3" else "It goes on" for n in wanted}
    return {"paragraphs": [{"paragraph": int(n), "text": f"{shown[n]} {added[n]} in a {way} way."} for n in wanted]}


class StepServer(ArticleServer):
    """Answers inserted steps too."""

    def _reply(self, prompt, body):
        if "Inserted step" not in prompt:
            return super()._reply(prompt, body)
        self.steps.append("inserted")
        if "warrants" in prompt:
            return json.dumps({"claim": "That nothing else was ever seen to happen.", "paragraph": 2})
        return json.dumps({"answer": "The author has written this with a kind heart."})


SAYS = {
    "analysis": analysis, "hypotheses": hypotheses, "plan": plan, "assessment": assessment, "revision": revision,
}  # fmt: skip
