# ruff: noqa: E402 - each cell imports what it needs
# Source of V5_Optimized_Training_Colab.ipynb: `make notebook` writes the notebook, a test holds the two together.

# %% [markdown]
# # Huấn luyện v5-optimized hoặc v6 trên Colab
#
# Dạy một mô hình ngôn ngữ nhỏ (không quá 1,000,000,000 tham số) đánh giá nhận định y tế tiếng Việt là TRUE hay FALSE,
# rồi đo xem kết quả thật sự tốt đến đâu.
#
# *Train a small language model to judge Vietnamese medical statements, then measure honestly how good it is.*
#
# > **Không phải lời khuyên y tế.** Kết quả chỉ hỗ trợ nghiên cứu. Mô hình trả lời theo trí nhớ và có thể sai mà vẫn rất
# > tự tin. Các câu của chúng tôi do AI viết, chưa được bác sĩ thẩm định.
# >
# > *Research aid, not medical advice. The model judges from memory; our claims were written by an AI and not reviewed
# > by clinicians.*
#
# **Phiên bị ngắt?** Mở lại và chọn *Runtime > Run all*: mọi thứ nằm trên Drive, việc đã xong được bỏ qua, việc dở dang
# chạy tiếp.
#
# *Session cut? Open it again and choose Runtime > Run all: finished work is skipped, unfinished work goes on.*

# %% [markdown]
# ## 1. Chọn GPU và tham số
#
# *Runtime > Change runtime type > T4 GPU*. Sau đó chỉ cần sửa ô này.
#
# *Choose a T4 GPU; then this is the only cell to change.*

# %% tags=["parameters"]
SOURCE = ""  # @param {type:"string"}
RECIPE = "v6"  # @param ["v6", "v5-optimized"]
BASE = "qwen2.5-coder-0.5b"  # @param ["qwen2.5-coder-0.5b", "qwen2.5-0.5b-instruct", "gemma-3-270m"]
CLAIMS = "ours"  # @param ["ours", "upload"] {allow-input: true}
KNOWLEDGE = ""  # @param {type:"string"}
KNOWLEDGE_ROWS = 154477  # @param {type:"integer"}
ROWS = 0  # @param {type:"integer"}
TEST_ROWS = 0  # @param {type:"integer"}
SETTINGS = ""  # @param {type:"string"}
FOLDER = "medverdict"  # @param {type:"string"}

# %% [markdown]
# | tham số | nghĩa |
# |---|---|
# | `SOURCE` | đường dẫn file `.whl`/`.zip` của medverdict trên Drive, hoặc `git+https://…`; để trống thì tải file lên |
# | `RECIPE`, `BASE` | công thức huấn luyện, mô hình nền |
# | `CLAIMS` | `ours`: câu có sẵn; `upload`: tải CSV lên; hoặc đường dẫn tới CSV trên Drive (cột `claim,label`) |
# | `KNOWLEDGE` | thư mục có `ViMedical_Disease.csv`, `ViMedNER.jsonl`, để dựng lại dữ liệu của v4; có thể để trống |
# | `ROWS`, `TEST_ROWS` | giới hạn số câu để chạy thử; 0 là tất cả |
# | `SETTINGS` | đổi công thức, ví dụ `epochs=1 batch_size=8` |
#
# *SOURCE: where medverdict comes from. CLAIMS: our claims, an upload, or a CSV's path. KNOWLEDGE: files for v4's data.
# ROWS, TEST_ROWS: limits for a trial, 0 for all. SETTINGS: changes to the recipe.*

# %%
# Giá trị đặt từ bên ngoài / values set from outside, as in MEDVERDICT_NOTEBOOK_ROWS=600
import os

OUTSIDE = "MEDVERDICT_NOTEBOOK_"
for name in [name.removeprefix(OUTSIDE) for name in os.environ if name.startswith(OUTSIDE)]:
    globals()[name] = type(globals()[name])(os.environ[OUTSIDE + name])

# %%
# Chạy một lệnh, hiện điều nó in ra, dừng nếu lỗi / run a command, show what it prints, stop if it fails
import shlex
import subprocess


def sh(command, most=200):
    print(f"$ {command}", flush=True)
    told = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "encoding": "utf-8"}
    plain = os.environ | {"COLUMNS": "100", "FORCE_COLOR": ""}
    with subprocess.Popen(shlex.split(command), env=plain, **told) as process:
        for number, line in enumerate(process.stdout):
            if number < most:
                print(line, end="", flush=True)
    if process.returncode:
        raise RuntimeError(f"Lệnh dừng với mã {process.returncode}; đọc dòng cuối ở trên. / The command failed.")


# %% [markdown]
# ## 2. Lưu trên Drive
#
# Ngoài Colab, một thư mục thường được dùng thay cho Drive. *Elsewhere than on Colab, a plain folder is used.*

# %%
from pathlib import Path

try:
    from google.colab import drive

    drive.mount("/content/drive")
    WORK = Path("/content/drive/MyDrive") / FOLDER
except ImportError:
    WORK = Path(FOLDER)
WORK.mkdir(parents=True, exist_ok=True)
os.chdir(WORK)

# %% [markdown]
# ## 3. Cài đặt
#
# PyTorch của Colab được giữ nguyên. File `.whl`: chạy `python3 -m pip wheel --no-deps -w dist .` trong thư mục mã nguồn
# rồi chép lên Drive; file `.zip` do `git archive` tạo ra cũng được.
#
# *Colab's own PyTorch is left alone. That command in the repository makes the .whl; a .zip by git archive does too.*

# %%
import importlib
import importlib.metadata
import importlib.util
import sys


def uploaded(what):
    print(f"Tải lên {what} / upload {what}")
    from google.colab import files

    return next(iter(files.upload()))


if importlib.util.find_spec("medverdict") is None:
    source = shlex.quote(SOURCE or uploaded("medverdict (.whl, .zip)"))
    sh(f"{sys.executable} -m pip install -q --no-deps {source}")
    importlib.invalidate_caches()
    needed = importlib.metadata.requires("medverdict")
    needed = [n.split(";")[0] for n in needed if ";" not in n or 'extra == "model"' in n]
    has_torch = importlib.util.find_spec("torch") is not None
    needed = [n for n in needed if not (has_torch and n.startswith("torch"))]
    sh(f"{sys.executable} -m pip install -q {shlex.join(needed)}")

# %%
sh("medverdict --version")
sh("medverdict bases")

# %%
# GPU hay CPU? / GPU or CPU?
check = "import torch; print(torch.cuda.get_device_name(0) if torch.cuda.is_available() else 'CPU')"
DEVICE = subprocess.check_output([sys.executable, "-c", check], text=True).strip().splitlines()[-1]
limits = f"ROWS={ROWS or 'tất cả / all'}, TEST_ROWS={TEST_ROWS or 'tất cả / all'}"
print(f"Thiết bị / device: {DEVICE}; {limits}, SETTINGS={SETTINGS or '-'}")
if DEVICE == "CPU" and not ROWS:
    print("Không có GPU: sẽ mất nhiều giờ; đặt ROWS=600. / No GPU: this takes hours; set ROWS=600.")

# %% [markdown]
# ## 4. Dữ liệu
#
# Câu của chúng tôi có bộ kiểm tra riêng, đóng băng. CSV của bạn được chia theo nhóm câu gần giống nhau, để không rò rỉ.
#
# *Ours come with a frozen test. Your CSV is split by groups of near-duplicates, so that nothing leaks.*

# %%
import random

from medverdict.claims import STYLES, test_file, training_files


def first_rows(sources, count, name):
    """Một phần các câu, luôn như nhau / a part of the rows, always the same one."""
    lines = [line for path in sources for line in path.read_text(encoding="utf-8").splitlines()]
    if len(sources) > 1:
        lines = random.Random(0).sample(lines, min(count, len(lines)))
    path = Path(name)
    path.write_text("\n".join(lines[:count]) + "\n", encoding="utf-8")
    return path


# %%
TEST_FILE = first_rows([test_file()], TEST_ROWS, f"test-{TEST_ROWS}.jsonl") if TEST_ROWS else test_file()
if CLAIMS == "ours" and ROWS:  # ít câu thì chọn câu kiểu giáo viên / few rows: those in a teacher's style
    teacher = [path for path in training_files() if STYLES[path.stem] == "teacher"]
    sources = [first_rows(teacher, ROWS, f"ours-{ROWS}.jsonl")]
elif CLAIMS == "ours":
    sources = training_files()

# %%
DATA = Path("data") / (Path(CLAIMS).stem + (f"-{ROWS}" if ROWS else ""))
if DATA.exists():
    print(f"{DATA}: đã có / is there already")
elif CLAIMS == "ours":
    sh(f"medverdict prepare {shlex.join(map(str, sources))} --out {DATA} --test-file {shlex.quote(str(TEST_FILE))}")
else:
    csv = uploaded("CSV: claim,label") if CLAIMS == "upload" else CLAIMS
    sh(f"medverdict prepare {shlex.quote(csv)} --out {DATA}")
TEST = DATA / "test.jsonl"

# %%
# Đọc vài câu trước khi huấn luyện / read some rows before training
import json

for line in (DATA / "train.jsonl").read_text(encoding="utf-8").splitlines()[:5]:
    row = json.loads(line)
    print(f"{row['label']:<6} {row['text']}")

# %% [markdown]
# ## 5. Từ ngữ tiết lộ bao nhiêu?
#
# Các mốc này không biết gì về y học. *These baselines know no medicine.*

# %%
sh(f"medverdict baselines {TEST} --train {DATA}/train.jsonl")

# %% [markdown]
# ## 6. Kế hoạch: bộ nhớ và thời gian
#
# *Memory and time, before any is spent.*

# %%
OPTIONS = shlex.join(word for setting in SETTINGS.split() for word in ("--set", setting))
sh(f"medverdict plan {RECIPE} --data {DATA} --base {BASE} {OPTIONS}")

# %% [markdown]
# ## 7. Huấn luyện
#
# Cứ năm phút có một điểm lưu trên Drive. Chạy lại ô này sau khi bị ngắt: nó làm tiếp.
#
# *A checkpoint every five minutes. Run this cell again after a cut: it goes on.*

# %%
RUN = Path("runs") / f"{RECIPE}-{DATA.name}"
sh(f"medverdict train {RECIPE} --data {DATA} --out {RUN} --base {BASE} {OPTIONS} --resume auto")

# %% [markdown]
# ## 8. Đánh giá
#
# Mô hình đứng cạnh các mốc, trên cùng những câu ấy, với khoảng tin cậy.
#
# *The model beside the baselines on the same rows, with intervals.*


# %%
def evaluate(run):
    stored = sorted(run.glob("evaluations/test-*/report.md"))
    if stored:
        sh(f"medverdict report {stored[0].parent}")
    else:
        sh(f"medverdict evaluate {run} {TEST}")
    return sorted(run.glob("evaluations/test-*/report.md"))[0]


REPORT = evaluate(RUN)

# %%
from IPython.display import Markdown, display

page = REPORT.read_text(encoding="utf-8").split("\n## ")
display(Markdown("\n## ".join(page[:2])))

# %% [markdown]
# *Câu khó* là những câu mà quy tắc từ khóa trả lời sai: ở đó cách viết đánh lừa. Toàn bộ báo cáo: `report.html`.
#
# *Hard rows are those that the keyword rule gets wrong: their wording misleads. The whole report is report.html.*

# %% [markdown]
# ## 9. So với v4
#
# Có `KNOWLEDGE`: dựng lại dữ liệu mẫu câu như v4. Không có: chỉ là siêu tham số của v4 trên dữ liệu ở trên.
#
# *With KNOWLEDGE: v4's templated rows, made again. Without: only v4's hyper-parameters, on the data above.*

# %%
V4_DATA, V4_WHAT = DATA, "siêu tham số v4 trên cùng dữ liệu / v4 hyper-parameters on the same data"
if KNOWLEDGE:
    V4_DATA, V4_WHAT = Path("data/v4"), "v4: mẫu câu từ tri thức / templated rows out of knowledge files"
    found = {"vimedical": "ViMedical_Disease.csv", "vimedner": "ViMedNER.jsonl"}
    found = {option: Path(KNOWLEDGE) / name for option, name in found.items() if (Path(KNOWLEDGE) / name).exists()}
    options = " ".join(f"--{option} {shlex.quote(str(path))}" for option, path in found.items())
    if not Path("data/kb").exists():
        sh(f"medverdict generate kb {options} --out data/kb --rows {KNOWLEDGE_ROWS}")
    if not V4_DATA.exists():
        sh(f"medverdict prepare data/kb/kb.jsonl --out {V4_DATA} --test-file {TEST}")
print(V4_WHAT)

# %%
V4_RUN = Path("runs") / f"v4-chunked-{V4_DATA.name}"
sh(f"medverdict train v4-chunked --data {V4_DATA} --out {V4_RUN} --base {BASE} --resume auto")

# %%
evaluate(V4_RUN)
print(f"A = {RECIPE}, B = {V4_WHAT}")
sh(f"medverdict compare {RUN} {V4_RUN} {TEST}")

# %% [markdown]
# ## 10. Sai ở đâu?
#
# *Where does it go wrong?*

# %%
sh(f"medverdict mistakes {RUN}", most=60)

# %% [markdown]
# ## 11. Thử mô hình
#
# *Try it.*

# %%
CLAIM = "Bệnh lao lây qua đường hô hấp."  # @param {type:"string"}
sh(f"medverdict verify {shlex.quote(CLAIM)} --run {RUN}")

# %% [markdown]
# ## 12. Tải mô hình về
#
# *Download the model; on your machine: `medverdict verify "…" --run FOLDER`.*

# %%
import shutil

archive = shutil.make_archive(f"{RUN.name}", "zip", RUN)
try:
    from google.colab import files

    files.download(archive)
except ImportError:
    print(f"{Path(archive).name}: {Path(archive).stat().st_size / 1e6:.1f} MB")

# %% [markdown]
# ## Giới hạn
#
# - Một lần chạy là một hạt giống: hạt giống khác lệch một hai điểm. Chênh lệch nhỏ hơn khoảng tin cậy không nói lên gì.
# - Điểm cao có thể chỉ nhờ cách viết: hãy nhìn cột *câu khó* trước.
# - Chạy thử với `ROWS` hoặc `TEST_ROWS` khác 0 không phải là kết quả của công thức.
#
# *One run is one seed. A high score can come from wording alone: look at the hard rows first. A trial with ROWS or
# TEST_ROWS set is not the recipe's result.*

# %%
print(f"Chạy trên / ran on {DEVICE}, {RECIPE}, {BASE}; {limits}, SETTINGS={SETTINGS or '-'}")
