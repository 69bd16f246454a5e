# NOT BUILT where it was written (no docker there): a recipe to start from. See docs/robot.md.
#   docker build -t clue_ros .                                                                            CPU
#   docker build -t clue_ros:cuda --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu126 .        CUDA
#   docker run --rm --net=host --ipc=host clue_ros image:=/camera/color/image_raw
ARG BASE=ros:jazzy-ros-base
FROM ${BASE}

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-pip python3-venv ros-"${ROS_DISTRO}"-diagnostic-msgs \
    && rm -rf /var/lib/apt/lists/*

# In an environment of its own, because Debian's Python takes no pip packages; ROS's are seen through it.
ENV VIRTUAL_ENV=/opt/clue
RUN python3 -m venv --system-site-packages "${VIRTUAL_ENV}"
ENV PATH=${VIRTUAL_ENV}/bin:${PATH}
COPY requirements /ws/src/clue_ros/requirements
RUN pip install --no-cache-dir --extra-index-url "${TORCH_INDEX}" -r /ws/src/clue_ros/requirements/core.txt

COPY . /ws/src/clue_ros
WORKDIR /ws
RUN source "/opt/ros/${ROS_DISTRO}/setup.bash" && colcon build --packages-select clue_ros

# The robot's side needs no rights.
RUN useradd --create-home clue
USER clue
ENV FASTDDS_DEFAULT_PROFILES_FILE=/ws/install/clue_ros/share/clue_ros/config/fastdds_shm.xml \
    OMP_WAIT_POLICY=PASSIVE HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1
# executable.py starts with python3 of PATH: the environment's.
ENTRYPOINT ["/bin/bash", "-c", "source /ws/install/setup.bash && exec ros2 launch clue_ros clue.launch.py \"$@\"", "--"]
