"""What is printed is what is there."""

from bilevel.cli.printing import console


def test_colons_around_a_word_make_no_picture(capsys):
    console().print("retry: ollama:x: no answer :smile:", markup=False)
    console(stderr=True).print("ollama:x: :warning:")
    printed = capsys.readouterr()
    assert printed.out == "retry: ollama:x: no answer :smile:\n" and printed.err == "ollama:x: :warning:\n"
