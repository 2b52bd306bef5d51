"""The model that writes the final text: llama.cpp in this process (`local`), or a trusted server (`remote`).

`llama` is the only importer of llama_cpp, `states` keeps what was read for the next process, `prompt` is what
the model reads.
"""
